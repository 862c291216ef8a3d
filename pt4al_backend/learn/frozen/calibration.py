"""How sure a model says that it is, against how often it is right: one temperature brings them together."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import TooFewClasses
from pt4al_backend.learn.frozen.heads import Standard
from pt4al_backend.learn.labels.image_labels import ImageLabels

PARTS = 3
#: Answers that suffice; with fewer the head is taken as it is.
LEAST_ANSWERS = 10
#: The least and the highest temperature, and how many between them are tried before the best is looked for between two.
LOWEST, HIGHEST, STEPS = 0.05, 20.0, 13
#: What no answer counts as less likely than: a class that none of the other labels had says nothing about a temperature.
LEAST_LIKELY = 1e-6


def temperature(
    space: ImageLabels,
    features: NDArray[np.float16],
    targets: NDArray[np.number],
    standard: Standard,
    *,
    balanced: bool,
    seed: int,
) -> float:
    """What the logits of a head of these labels are divided by, for posteriors that are as high as it is often right.

    ``features`` float16 [l, d] and ``targets`` [l, ...] are those that the head learns; ``seed`` parts them. The temperature
    makes the answers of heads to labels that they have not learned most likely. It changes no answer.

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (ICML 2017), section 4.2.
    Deviation: labels are too few to hold some back, so each third is answered by a head of the others.
    """
    order = np.random.default_rng(seed).permutation(len(targets))
    logits, truths = [np.empty((0, len(space.classes)))], [targets[:0]]
    for part in range(PARTS):
        answered = order[part::PARTS]
        learned = np.setdiff1d(order, answered)
        try:
            space.require_learnable(targets[learned])
        except TooFewClasses:
            continue
        head = space.fit_head(standard(features[learned]), targets[learned], standard, balanced=balanced)
        logits.append(head.logits(features[answered]))
        truths.append(targets[answered])
    return temperature_of(space, np.concatenate(logits), np.concatenate(truths))


def temperature_of(space: ImageLabels, logits: NDArray[np.floating], targets: NDArray[np.number]) -> float:
    """The temperature that makes ``targets`` [n, ...] most likely by logits [n, C] of models that have not learned them."""
    if len(logits) < LEAST_ANSWERS:
        return 1.0
    from scipy.optimize import minimize_scalar  # 0.4 s of CPU that only those who fit a head need spend

    answers = logits.astype(np.float64)

    def unlikelihood(logarithm: float) -> float:
        likelihoods = space.likelihoods(space.posteriors_of(answers / np.exp(logarithm)), targets)
        return -float(np.log(np.maximum(likelihoods, LEAST_LIKELY)).mean())

    steps = np.linspace(np.log(LOWEST), np.log(HIGHEST), STEPS)
    best = int(np.argmin([unlikelihood(step) for step in steps]))  # it is flat where all that is wrong is as unlikely as can be
    bounds = steps[max(best - 1, 0)], steps[min(best + 1, STEPS - 1)]
    return float(np.exp(minimize_scalar(unlikelihood, bounds=bounds, method="bounded").x))
