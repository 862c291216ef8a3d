"""PT4AL: in round i, the tasks of batch b_i that the model of round i - 1 is least sure of.

``docs/results/early.md`` and ``docs/results/batch-order.md`` have the measurements that chose the defaults: the paper's rule
throughout is well behind random with few labels, and the defaults are level with it.
"""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config.catalog import NEED_IMAGE_POSTERIORS
from pt4al_backend.query.ranking import rounds_until
from pt4al_backend.query.strategies import first_query
from pt4al_backend.query.strategies.base import ModelOutput, Need, Pool, Query, Request, Sizes, Strategy, whole
from pt4al_backend.query.strategies.core_set import k_center
from pt4al_backend.query.strategies.herding import herd, uncertainty

#: The samplers that cover a batch by features; the others query its lowest confidences.
COVERS = ("k_center", "herding")


class PT4AL(Strategy):
    """Sweeps the batches and queries the least confident of each, or what covers it best (``sampler`` "k_center").

    With ``sampler`` "herding" it queries what of the batch covers the whole pool best, where the model is unsure (see
    ``herding``): with few labels that is worth more than covering the batch alone, the more so the smaller the batches.

    Source: Yi, Seo, Park and Choi (ECCV 2022), section 4.3, Eq. 2, phi(b_i, F^{i-1}) = min_K { max F^{i-1}(b_i) }, and
    Algorithm 1. ``first_query`` = "hardest_batch" with ``sampler`` = "least_confidence" and ``batch_order`` = "hard_first" is the
    paper to the letter.

    Returns k picks, batch by batch, equal confidences by lower id; scores are the sampler's confidences, or places where batches
    are covered. Without a model it queries by ``first_query``, of which "herding" covers the whole pool by the pretext learner's
    features. With a model and without a ranking it sweeps whatever batches the pool has: give it slices of a uniform order.

    Deviations from Eq. 2 and Algorithm 1:

    * Algorithm 1's first query is ``first_query`` = "hardest_batch"; the default is "stratified".
    * Eq. 2's maximum is ``sampler`` = "least_confidence"; the default is "margin".
    * Algorithm 1 takes b_1, b_2, … in this order, which is ``batch_order`` = "hard_first"; the default is "interleaved".
    * Algorithm 1 ends after round I, and its batches all hold K tasks. Here the sweep begins again, and a batch with too few
      tasks left is followed by the next.

    Deviations from the published code: losses are sorted as numbers, not as text (``ranking.rank``); confidences are of plain
    softmax, where it normalises the logits first (``sampler`` = "normalised_confidence" does); and it chooses the model that does
    the query by its accuracy on the test set, where the last epoch's is used.
    """

    @property
    def needs(self) -> frozenset[Need]:
        needs: set[Need] = set()
        if self.sampler in COVERS:
            needs.add("features")
        if self.sampler in NEED_IMAGE_POSTERIORS:
            needs.add("posteriors")
        if self.first_query == "herding":
            needs.add("pretext_features")
        return frozenset(needs)

    @property
    def companion(self) -> str:
        return self.sampler if self.sampler == "normalised_confidence" else ""

    @property
    def depends_on_ranking(self) -> bool:
        return True

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """Positions of this round's batch, and of as many whole batches after it as ``k`` needs; of all for "herding"."""
        if k < 1 or self.sampler == "herding":
            return whole(pool, k)
        wait = rounds_until(pool.batches, self.order, round)
        held = np.cumsum(np.bincount(wait, minlength=self.batches))
        return np.flatnonzero(wait <= np.searchsorted(held, k)).astype(np.int64)

    def query(self, request: Request) -> Query:
        """Queries this round's batch by the sampler, then the next."""
        if request.output is None:
            return first_query.pick(request, self.first_query, self.order)
        output = request.output.by_id(request.pool.ids)
        if self.first_query == "herding" and not output.confidences:  # the pretext learner's: there is no model yet
            features, labelled = output.required_features()
            return Query.by_place(output.positions[herd(features, labelled, uncertainty(output), request.sizes, request.rng)])
        wait = rounds_until(request.pool.batches, self.order, request.round)[output.positions]
        if self.sampler in COVERS:
            return Query.by_place(output.positions[_cover(self.sampler, output, wait, request)])
        scores = output.confidences[self.sampler]
        best = np.lexsort((scores, wait))[: max(0, request.k)]
        return Query(output.positions[best], scores[best])


def _cover(sampler: str, output: ModelOutput, wait: NDArray[np.int64], request: Request) -> NDArray[np.int64]:
    """Indices int64[min(k, m)] of the candidates that cover best, batch after batch; labelled images and picks are covered."""
    features, covered = output.required_features()
    weights = uncertainty(output)
    picks = np.empty(0, dtype=np.int64)
    for rounds in np.unique(wait):
        sizes = Sizes(max(0, request.query_size - len(picks)), request.k - len(picks))
        if sizes.total < 1:
            break
        batch = np.flatnonzero(wait == rounds)
        if sampler == "k_center":
            found = batch[k_center(features[batch], covered, sizes.total)]
        else:
            found = herd(features, covered, weights, sizes, request.rng, batch)
        picks = np.concatenate([picks, found])
        covered = np.concatenate([covered, features[found]])
    return picks
