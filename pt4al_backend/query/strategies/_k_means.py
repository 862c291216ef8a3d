"""k-means, for strategies that query images of all kinds."""

import warnings

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.threads import one_thread

Features = NDArray[np.float32]

#: Most points that centres are found on, and most times that these are assigned to centres.
SAMPLE, ITERATIONS = 20_000, 20
#: Most clusters of ``medoids_first``; a longer query takes several images of each.
MOST_MEDOIDS = 2_000


def k_means(points: Features, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Features]:
    """The cluster int64[n], 0..count-1, of each of ``points`` float32[n, d], and the centres float32[count, d].

    There are no more clusters than points. Where points coincide some may stay empty.
    """
    # Imported where it is needed: two seconds and 100 MB, which processes that only check settings need not spend.
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.exceptions import ConvergenceWarning

    if not len(points):
        return np.empty(0, dtype=np.int64), points
    sample = points
    if len(points) > SAMPLE:
        sample = points[np.sort(rng.choice(len(points), SAMPLE, replace=False))]
    count = max(1, min(count, len(sample)))
    # Threads add up in the order in which they finish: with one, a seed gives the same clusters every time.
    with one_thread():
        # One draw a centre, as k-means++ was published: with scikit-learn's default, eight for 500, it takes eight times as long.
        centres, _ = kmeans_plusplus(sample, count, random_state=int(rng.integers(2**31)), n_local_trials=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters, which may stay empty
            model = KMeans(count, init=centres, n_init=1, max_iter=ITERATIONS).fit(sample)
        return np.asarray(model.predict(points), np.int64), np.asarray(model.cluster_centers_, np.float32)


def medoids_first(points: Features, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The order int64[n] of ``points`` float32[n, d] in which ``count`` clusters take turns, the larger first.

    Each gives its point nearest to its centre, the lowest index of equals. Of points of as many kinds, the first ``count`` are
    the medoids.
    """
    clusters, centres = k_means(points, min(count, MOST_MEDOIDS), rng)
    turn = np.empty(len(points), dtype=np.int64)
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        distances = np.square(points[members] - centres[cluster]).sum(1)
        turn[members[np.argsort(distances, kind="stable")]] = np.arange(len(members))
    sizes = np.bincount(clusters, minlength=1)
    return np.lexsort((clusters, -sizes[clusters], turn))
