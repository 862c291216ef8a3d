"""Cluster margin: of the tasks that the model is least sure of, one of each kind."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.draws import lowest
from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies._k_means import medoids_first
from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request

#: Unsure tasks for each that is queried.
UNSURE = 10


class ClusterMargin(Covering):
    """Clusters the tasks of smallest margin, and queries the one nearest to each centre.

    Source: the name and the idea, small margins spread over clusters, are of Citovsky, DeSalvo, Gentile, Karydas, Rajagopalan,
    Rostamizadeh and Kumar, "Batch active learning at scale" (NeurIPS 2021), Algorithm 2.

    Of K tasks in a query, the 10 K of smallest margin are clustered by k-means into K clusters, on features of unit length.
    Clusters take turns, the larger first, and give the task nearest to their centre. Before there is a model the features are
    the pretext learner's, if the ranking kept them, and all tasks are as unsure as any other.

    Returns k picks in the order of the turns, then what is left, the smaller margin first; scores are places.

    Deviations: the paper clusters the whole pool once, by average linkage below a distance that is tuned, and lets clusters take
    turns from the smallest to the largest, each giving a task at random. Here the unsure tasks alone are clustered, again in each
    round, so that nothing has to be tuned and no matrix of all pairs is needed; and a cluster's medoid stands for it.
    """

    needs: frozenset[Need] = frozenset({"features", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, _ = output.required_features()
        size = request.query_size or request.k
        if "margin" not in output.confidences:
            return medoids_first(of_unit_length(features), size, request.rng)[: max(0, request.k)]
        by_margin = lowest(output.confidences["margin"], np.arange(len(features)), len(features))
        unsure = np.sort(by_margin[: UNSURE * size])
        first = unsure[medoids_first(of_unit_length(features[unsure]), size, request.rng)]
        return np.concatenate([first, by_margin[UNSURE * size :]])[: max(0, request.k)]
