"""DropQuery: of the tasks whose class changes when features are left out, one of each kind."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies._k_means import medoids_first
from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request

#: Below which share of passes with the same answer a task competes: first where most differ, then where one does.
MOST_DIFFER, ONE_DIFFERS = 0.5, 1.0
#: Competitors for each that is queried, below which one pass that differs is enough.
ENOUGH = 25


class DropQuery(Covering):
    """Clusters the tasks whose likeliest class changes under dropout, and queries the one nearest to each centre.

    Source: Gupta et al., "Revisiting active learning in the era of vision foundation models" (TMLR 2024), Algorithm 1: three
    passes of a linear head, each without 75 % of the features. A task competes if most passes answer otherwise than the head
    does with all features, or, where these are too few for a query of K (below 25 K, as in the published code), if one does.
    Competitors are clustered by k-means into K clusters on features of unit length; clusters take turns, the larger first, and
    give the task nearest to their centre. Before there is a model all tasks compete, by the pretext learner's features if the
    ranking kept them: the paper's first query.

    Returns k picks in the order of the turns, then what is left at random, as the published code does; scores are places.

    Deviations: the head is the model's, which is trained without dropout. A query larger than 2,000 takes several tasks of each
    cluster.
    """

    needs: frozenset[Need] = frozenset({"features", "drop_consistency", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, _ = output.required_features()
        size = request.query_size or request.k
        same = output.confidences.get("drop_consistency", np.zeros(len(features)))
        competing = np.flatnonzero(same < MOST_DIFFER)
        if len(competing) < ENOUGH * size:
            competing = np.flatnonzero(same < ONE_DIFFERS)
        first = competing[medoids_first(of_unit_length(features[competing]), size, request.rng)]
        rest = request.rng.permutation(np.setdiff1d(np.arange(len(features)), competing))
        return np.concatenate([first, rest])[: max(0, request.k)]
