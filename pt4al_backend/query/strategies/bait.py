"""BAIT: the tasks that would tell the head most about all tasks, by the Fisher information of its weights."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request

Rows = NDArray[np.float64]

#: Information in every direction before anything is labelled, where an image of which nothing is known has 0.25 in its own.
PRIOR = 1e-3
#: Picks for each that is kept.
OVERSAMPLED = 2
#: The most tasks that compete; of a larger pool this many are drawn uniformly.
MOST_CANDIDATES = 10_000


class Bait(Covering):
    """Queries the tasks that lower the expected error over the whole pool most, as far as the information in them tells.

    Source: Ash, Goel, Krishnamurthy and Kakade, "Gone fishing: neural active learning with Fisher embeddings" (NeurIPS 2021),
    Algorithm 1, with the Fisher information of a binary head: Huseljic, Hahn, Herde, Rauch and Sick, "Fast fishing: approximating
    BAIT for efficient and scalable deep active image classification" (ECML-PKDD 2024).

    Each image has the information w^2 x x^T, with features x of unit length and w^2 = p (1 - p), p the likeliest class's
    posterior. M is the sum over labelled images and picks, plus a prior; F the sum over all. Greedily 2 K tasks are picked that
    lower the trace of M^-1 F most, then those are dropped whose loss raises it least, until K are left. The reserve is picked
    greedily behind them. Before there is a model the features are the pretext learner's, if the ranking kept them, and w is 1.

    Returns k picks in the order in which they were picked; scores are places.

    Deviations:

    * for d features and C classes the paper's information is a matrix of (d C)^2 numbers, 68 GB for 1,280 features of 102 classes
      in float32, and each task has C vectors to compare with it. A binary head's has d^2, 13 MB, and each task has one;
    * labelled images have the candidates' mean w, as their posteriors are not kept (a head that knows them by heart gives 1);
    * features have unit length, and a prior that goes with it, where the paper's is 1 whatever their length;
    * at most 10,000 tasks compete. What is left of a larger pool follows at random.
    """

    needs: frozenset[Need] = frozenset({"features", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, labelled = output.required_features()
        order = request.rng.permutation(len(features))
        drawn = np.sort(order[:MOST_CANDIDATES])
        sure = output.confidences.get("least_confidence", np.full(len(features), np.nan))[drawn]
        weights = np.where(np.isnan(sure), 1.0, sure * (1.0 - sure))
        points = of_unit_length(features[drawn]).astype(np.float64) * np.sqrt(weights)[:, None]
        known = of_unit_length(labelled).astype(np.float64) * np.sqrt(weights.mean() if len(weights) else 0.0)
        picks = _picked(points, known, min(request.query_size, request.k), request.k)
        return np.concatenate([drawn[picks], order[MOST_CANDIDATES:]])[: max(0, request.k)]


def _picked(points: Rows, known: Rows, query: int, k: int) -> NDArray[np.int64]:
    """Indices int64[min(k, n)] into ``points`` float64[n, d]: those of a ``query``, then the reserve."""
    design = _Design(points, known)
    for _ in range(min(OVERSAMPLED * query, len(points))):
        design.add()
    while len(design.picks) > query:
        design.drop()
    while len(design.picks) < min(k, len(points)):
        design.add()
    return np.array(design.picks, np.int64)


class _Design:
    """Picks, the inverse of their information M, and what the trace of M^-1 F would lose or gain by one more or less.

    All of it follows each pick by updates of rank one: time O(n d + d^2), memory O(n d + d^2).
    """

    def __init__(self, points: Rows, known: Rows) -> None:
        self.picks: list[int] = []
        self._points = points
        self._inverse = np.linalg.inv(known.T @ known + PRIOR * np.eye(points.shape[1]))
        self._all = points.T @ points + known.T @ known
        self._spread = np.einsum("nd,nd->n", points @ self._inverse, points)
        self._relevance = np.einsum("nd,nd->n", points @ (self._inverse @ self._all @ self._inverse), points)

    def add(self) -> None:
        """Picks what lowers the trace most, the lowest index of equals."""
        gains = self._relevance / (1 + self._spread)
        gains[self.picks] = -np.inf
        pick = int(gains.argmax())
        self._move(pick, 1)
        self.picks.append(pick)

    def drop(self) -> None:
        """Drops the pick that lowers it least."""
        losses = self._relevance[self.picks] / (1 - self._spread[self.picks])
        self._move(self.picks.pop(int(losses.argmin())), -1)

    def _move(self, index: int, sign: int) -> None:
        """Adds (1) or takes away (-1) a point: the formula of Sherman and Morrison, and what follows from it."""
        point = self._points[index]
        step = self._inverse @ point
        step /= np.sqrt(1 + sign * (point @ step))
        felt = self._all @ step
        along, across = (self._points @ np.stack([step, self._inverse @ felt], axis=1)).T
        self._spread -= sign * along**2
        self._relevance += (felt @ step) * along**2 - 2 * sign * along * across
        self._inverse -= np.outer(sign * step, step)
