"""Refine: several rules filter the pool in turn, and what they leave is covered."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies.base import ModelOutput, Need, Pool, Request, Sizes, Strategy
from pt4al_backend.query.strategies.herding import Herding, herd, uncertainty
from pt4al_backend.query.strategies.typiclust import TypiClust
from pt4al_backend.query.strategies.uncertainty import Uncertainty

#: How often the pool is filtered, the queries of each rule at each time, and the share of what is left that each of them sees.
DEPTH, QUERIES, SHARE = 3, 5, 0.4
#: Most tasks that a query of a rule sees, unless these are less than twice as many as it takes.
MOST_SEEN = 1_000


class Refine(Covering):
    """Lets margin, TypiClust and herding query random parts of the pool, goes on with the union, and herds what is left at last.

    Source: Huseljic et al., "Cleaning the pool: progressive filtering of unlabeled pools in deep active learning" (CVPR 2026),
    Refine. Each rule makes five queries of K tasks, each from a random 40 % of the tasks that are left; what none of these
    queries holds is out. After three times the query is herded from the rest (see ``herd``), and the reserve behind it. Before
    there is a model there is no margin, and the features are the pretext learner's, if the ranking kept them.

    Returns k picks in the order of herding, then what was filtered out, herded as well; scores are places.

    Deviations: the paper has nine rules, ten queries of each and five times, and parts of 5,000 tasks at the first time. Here
    parts have at most 1,000, so that a query takes seconds; by the paper three times are about as good as five.
    """

    needs: frozenset[Need] = frozenset({"features", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, labelled = output.required_features()
        weights, left = uncertainty(output), np.arange(len(features))
        size = request.query_size or request.k
        for _ in range(DEPTH if size > 0 else 0):
            left = self._filtered(output, left, size, request)
        first = left[herd(features[left], labelled, weights[left], request.sizes, request.rng)]
        out = np.setdiff1d(np.arange(len(features)), left)
        covered = np.concatenate([labelled, features[left]])
        wanted = max(0, request.k - len(first))
        return np.concatenate([first, out[herd(features[out], covered, weights[out], Sizes(0, wanted), request.rng)]])

    def _filtered(self, output: ModelOutput, left: NDArray[np.int64], size: int, request: Request) -> NDArray[np.int64]:
        """Those indices of ``left`` int64[m] that a rule queries, ascending."""
        seen = min(len(left), max(2 * size, min(MOST_SEEN, math.ceil(SHARE * len(left)))))
        found = [left[:0]]
        for rule in self._rules(output):
            for _ in range(QUERIES):
                part = np.sort(request.rng.choice(left, seen, replace=False))
                given = replace(output.take(part), positions=np.arange(seen))
                pool = Pool(part, np.full(seen, np.nan), np.ones(seen, np.int64))
                found.append(part[rule.query(Request(pool, request.round, size, size, request.rng, given)).positions])
        return np.unique(np.concatenate(found))

    def _rules(self, output: ModelOutput) -> list[Strategy]:
        kinds: dict[str, type[Strategy]] = {"typiclust": TypiClust, "herding": Herding}
        if "margin" in output.confidences:
            kinds["margin"] = Uncertainty
        return [kind(name, batches=1, first_query="random", sampler="margin") for name, kind in kinds.items()]
