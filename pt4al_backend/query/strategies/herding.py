"""Herding: the tasks that cover best what is not covered yet, where the model is unsure."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._coverage import LIMITS, Limits, cover_greedily, gaussian
from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request, Sizes

Features = NDArray[np.float32]

#: The most picks where all images are ordered: of so many the next adds little, and takes as long as each before it.
MOST_HERDED = 10_000


class Herding(Covering):
    """Queries the task that adds most to the coverage of what is unsure, then the next.

    Source: Bae, Ng, Pham, Sutherland, "Generalized coverage for more robust low-budget active learning" (ECCV 2024), and Bae,
    Sutherland, Oliveira, "Uncertainty herding" (ICLR 2025). See ``herd`` for the rule. The uncertainty of a task is one minus its
    margin. Before there is a model the features are the pretext learner's, if the ranking kept them, and every task is as unsure
    as any other: kernel herding.

    Returns k picks in the order of the greedy algorithm; scores are places.

    Deviations: the papers choose the kernel's radius by the distances of the labelled images, and calibrate the model. Here the
    radius is 1 and the model is taken as it is, which made no difference and was better, respectively. Coverage is summed
    over at most 4,000 tasks, others after 1,000 picks. Of more than 100,000 candidates parts compete by themselves first.
    """

    needs: frozenset[Need] = frozenset({"features", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, labelled = output.required_features()
        return herd(features, labelled, uncertainty(output), request.sizes, request.rng)


def uncertainty(output: ModelOutput) -> NDArray[np.float32]:
    """One minus the margin float32[m] of each candidate; 1 of all where no model gave any."""
    if "margin" not in output.confidences:
        return np.ones(len(output.positions), np.float32)
    return (1.0 - output.confidences["margin"]).astype(np.float32)


def herd(
    features: Features,
    covered: Features,
    weights: NDArray[np.float32],
    sizes: Sizes,
    rng: np.random.Generator,
    among: NDArray[np.int64] | None = None,
    *,
    is_shuffled: bool = False,
    limits: Limits = LIMITS,
) -> NDArray[np.int64]:
    """What ``cover_greedily`` picks by the kernel exp(-|x - y|^2) of features of unit length."""
    return cover_greedily(features, covered, weights, sizes, rng, gaussian, among, is_shuffled=is_shuffled, limits=limits)
