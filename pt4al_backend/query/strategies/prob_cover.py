"""ProbCover: the tasks with most others near them that no labelled image is near to."""

import math

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.draws import even_intervals
from pt4al_backend.query.strategies._coverage import ball, blocks, cover_greedily, negative_squares
from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies._k_means import k_means
from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request

Features = NDArray[np.float32]

#: Share of balls that hold images of one kind alone.
PURITY = 0.95
KINDS = 10
#: Most images whose balls are looked at to find the radius.
MOST_MEASURED = 1_000


class ProbCover(Covering):
    """Queries the task whose ball holds most tasks that are in no ball of a labelled image or a pick, then the next.

    Source: Yehuda, Dekel, Hacohen and Weinshall, "Active learning through a covering lens" (NeurIPS 2022), Algorithm 1, on
    features of unit length. All balls have one radius, the largest for which 95 % of the balls are pure: they hold images of one
    kind, by k-means. Before there is a model the features are the pretext learner's, if the ranking kept them.

    Returns k picks in the order of the greedy algorithm; scores are places.

    Deviations:

    * there are 10 kinds, where the paper has as many as classes, which a strategy is not told (docs/strategies.md);
    * each round finds the radius again, where the paper keeps that of the first;
    * features are the current model's once there is one, where the paper keeps those of a self-supervised learner;
    * tasks that cover as many are queried in a random order, and so is what is left once all are covered;
    * coverage is counted over at most 4,000 tasks, and purity over 1,000. Of more than 100,000 candidates parts compete by
      themselves first.
    """

    needs: frozenset[Need] = frozenset({"features", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, labelled = output.required_features()
        radius = pure_radius(np.concatenate([features, labelled]), KINDS, request.rng)
        order = request.rng.permutation(len(features))
        alike = np.ones(len(features), np.float32)
        return order[cover_greedily(features[order], labelled, alike, request.sizes, request.rng, ball(radius))]


def pure_radius(features: Features, kinds: int, rng: np.random.Generator) -> float:
    """The largest radius at which 95 % of the balls around images, of features float32[n, d], hold images of one kind alone.

    A ball is pure up to the distance of the nearest image of another kind. With one kind alone no radius is too large.
    """
    points = of_unit_length(features)
    kind, _ = k_means(points, kinds, rng)
    measured = even_intervals(len(points), MOST_MEASURED)
    if not len(measured):
        return np.inf
    nearest = np.full(len(measured), -np.inf, np.float32)
    for block in blocks(len(points)):
        squares = negative_squares(points[block], points[measured])
        squares[kind[block][:, None] == kind[measured]] = -np.inf
        np.maximum(nearest, squares.max(0), out=nearest)
    return float(np.sqrt(-np.sort(nearest)[math.ceil(PURITY * (len(nearest) - 1))]))
