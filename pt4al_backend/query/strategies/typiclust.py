"""TypiClust: the most typical image of each cluster that holds no label yet, the strategy for few labels.

``docs/results/all-strategies.md`` and ``docs/results/more-images.md`` have the measurements: with few labels its mean is
never behind random's, and with 500 to 2,000 of 20,000 images it is level.
"""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.neighbour_index import NeighbourIndex
from pt4al_backend.query.draws import even_intervals
from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies._k_means import k_means
from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request
from pt4al_backend.threads import one_thread

Features = NDArray[np.float32]

MOST_CLUSTERS = 500
SMALL_CLUSTER = 5
NEIGHBOURS = 20
#: Most images of a cluster whose typicality is measured, as its cost grows with their square.
MOST_MEASURED = 5_000


class TypiClust(Covering):
    """Queries typical images of all kinds first.

    Source: Hacohen, Dekel and Weinshall (ICML 2022), Algorithm 1. Labelled and unlabelled images are clustered together by
    k-means on features of unit length, float32[m + l, d], into as many clusters as there are labels and tasks in a query, at most
    500. The clusters take turns, those with the fewest labels first, the larger of equals. Each gives its most typical unlabelled
    image, typicality being the inverse of the mean Euclidean distance to the min(20, half the cluster) nearest neighbours in it.
    Before there is a model the features are the pretext learner's, if the ranking kept them.

    Returns k picks in the order of the turns; scores are places.

    Deviations from the published code:

    * k-means finds its centres on at most 20,000 images, where more than 50 clusters are found by minibatches: by those, fewer
      kinds of made-up features were covered by a query (73 of 100, where this covers 81);
    * features are the current model's once there is one (the published ones are a SimCLR learner's in every round);
    * clusters of five images or fewer come after all others, where they are dropped, so that a small pool can be labelled to its
      end;
    * typicality is measured once, where it is measured again after each pick; its neighbours are the unlabelled images of the
      cluster; and it is measured of at most 5,000 images of a cluster, at even intervals of their ids. The others come behind
      them.
    """

    needs: frozenset[Need] = frozenset({"features", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, labelled = output.required_features()
        points = of_unit_length(np.concatenate([features, labelled]))
        wanted = len(labelled) + (request.query_size or request.k)
        clusters, _ = k_means(points, min(wanted, MOST_CLUSTERS), request.rng)
        # Many small products of matrices wait for each other's threads where processors are busy.
        with one_thread():
            of, of_labelled = np.split(clusters, [len(features)])
            turn = np.empty(len(of), dtype=np.int64)
            for cluster in np.unique(of):
                members = np.flatnonzero(of == cluster)
                turn[members[_most_typical_first(points[members])]] = np.arange(len(members))
        sizes, labels = np.bincount(clusters), np.bincount(of_labelled, minlength=MOST_CLUSTERS)
        order = np.lexsort((of, -sizes[of], labels[of], turn, sizes[of] <= SMALL_CLUSTER))
        return order[: max(0, request.k)]


def _most_typical_first(points: Features) -> NDArray[np.int64]:
    """The order int64[n] of one cluster's unlabelled images."""
    measured = even_intervals(len(points), MOST_MEASURED)
    distance = np.full(len(points), np.inf)
    distance[measured] = 0.0
    if len(measured) > 1:
        count = min(NEIGHBOURS, max(1, len(measured) // 2))
        nearest, _ = NeighbourIndex(points[measured]).others(np.arange(len(measured)), count)
        distance[measured] = nearest.mean(1)
    return np.argsort(distance, kind="stable")
