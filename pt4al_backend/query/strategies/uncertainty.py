"""Uncertainty sampling over the whole pool: least confidence, margin and entropy."""

# ruff: noqa: ARG002 - all strategies share one signature, and each uses what it needs

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.draws import lowest
from pt4al_backend.query.strategies import first_query
from pt4al_backend.query.strategies.base import Pool, Query, Request, Strategy, whole


class Uncertainty(Strategy):
    """Queries the tasks of the whole pool that the model is least sure of, by the confidence of its own name.

    Sources: ``least_confidence``, Lewis and Gale (SIGIR 1994); ``margin``, Scheffer, Decomain and Wrobel (IDA 2001);
    ``entropy``, Settles (Active Learning Literature Survey, 2009, section 3.1). ``confidence`` has the formulas.

    Returns the k lowest confidences, equal ones by lower id; scores are the confidences.

    Deviations: the literature starts from a uniform first query, which is ``first_query`` = "random". The re-implementations for
    CIFAR-10 score a uniform draw of 10,000 images in each round; here the whole pool is scored.
    """

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """The whole pool."""
        return whole(pool, k)

    def query(self, request: Request) -> Query:
        """Queries the lowest confidences."""
        if request.output is None:
            return first_query.pick(request, self.first_query, self.order)
        positions, scores = request.output.positions, request.output.confidences[self.name]
        best = lowest(scores, request.pool.ids[positions], request.k)
        return Query(positions[best], scores[best])
