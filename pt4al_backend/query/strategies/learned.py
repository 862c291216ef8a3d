"""The strategies that query by what a companion has learned: losses, latent codes, a second network, a graph."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config.catalog import NEED_IMAGE_POSTERIORS
from pt4al_backend.query.draws import lowest, uniform_order
from pt4al_backend.query.strategies.base import Need, Pool
from pt4al_backend.query.strategies.uncertainty import Uncertainty

#: Candidates of a query, a uniform draw: the published 10,000.
SUBSET = 10_000


def subset(pool: Pool, round: int, k: int, seed: int) -> NDArray[np.int64]:
    """Positions int64[m] of ``SUBSET`` tasks, or of ``k`` if those are more, drawn uniformly, another draw each round.

    The draw is the seed's own, so that runs that differ in it alone are independent. The order is the round's alone, so that a
    pool that is taken whole is the same for all of them.
    """
    word = int(np.random.SeedSequence([seed, round]).generate_state(1, np.uint64)[0])
    drawn = lowest(uniform_order(pool.ids, word), pool.ids, max(SUBSET, k) if k > 0 else 0)
    ids = pool.ids[drawn]
    return drawn[lowest(uniform_order(ids, round), ids, len(ids))]


class Learned(Uncertainty):
    """Queries by the confidences of the companion that has the strategy's name, the lowest first.

    What each companion learns, and how it deviates from its paper, is written in its module of ``learn.companions``:

    ``learning_loss`` (Yoo and Kweon, CVPR 2019, section 3): the largest loss that a module beside the model predicts.
    ``learning_loss_detached``: the same, but the module leaves the model alone, as in PT4AL's comparison.
    ``vaal`` (Sinha, Ebrahimi and Darrell, ICCV 2019, Algorithm 2): the lowest probability of being labelled, by a discriminator
    of an adversarial autoencoder's codes. ``ta_vaal`` (Kim et al., CVPR 2021): the codes also hold the predicted loss.
    ``pal`` (Bhatnagar et al., BMVC 2021): the order in which a second network finds orientation and class hard.
    ``core_gcn`` and ``uncertain_gcn`` (Caramalau, Bhattarai and Kim, CVPR 2021): k-center on a graph network's hidden features,
    and the distance of its probability of being labelled from 0.1.

    Returns the k lowest confidences among a uniform draw of ``SUBSET`` tasks, as the published comparisons do.
    """

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"posteriors"}) if self.name in NEED_IMAGE_POSTERIORS else frozenset()

    @property
    def companion(self) -> str:
        return self.name

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """A uniform draw of the pool, one for each seed and round."""
        return subset(pool, round, k, self.seed)
