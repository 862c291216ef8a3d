"""Head tuning: a head is trained on the features of labelled images, and predicts all others from theirs."""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.learn.evaluation import Evaluation
from pt4al_backend.learn.frozen.feature_file import blocks
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.labels.image_labels import ImageLabels


class Tuned(NamedTuple):
    """A head, and the seconds that training it and predicting took."""

    head: LinearHead
    seconds: dict[str, float]


def tune(
    space: ImageLabels,
    features: NDArray[np.float16],
    targets: NDArray[Any],
    evaluation: Evaluation,
    standard: Standard,
    *,
    balanced: bool,
    seed: int,
) -> Tuned:
    """Trains a head on targets [l, ...] of labelled images, and hands its predictions to ``evaluation``.

    ``features`` float16 [n, d] are those of the control picks, the candidates and the labelled images, in this order, which is
    also that of ``evaluation``. Features that are learned and kept are brought to the ``standard``. ``balanced`` weighs classes
    alike. What is left out under dropout, where that is wanted, is drawn by ``seed``.

    Raises:
        TrainingImpossible: the targets cannot be learned; the message says why.
    """
    start = time.monotonic()
    space.require_learnable(targets)
    head = space.fit_head(standard(features[len(features) - len(targets) :]), targets, standard, balanced=balanced)
    trained = time.monotonic()
    for positions in blocks(np.arange(len(features))):
        posteriors = space.posteriors_of(head.logits(features[positions]))
        evaluation.add(positions, (standard(features[positions]), posteriors))
    if "drop_consistency" in evaluation.keep:
        same = head.drop_consistency(features[evaluation.candidates], seed)
        evaluation.add_confidences("drop_consistency", same)
    return Tuned(head, {"train": trained - start, "score": time.monotonic() - trained})
