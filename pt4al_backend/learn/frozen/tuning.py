"""Head tuning: a head is trained on the features of labelled images, and predicts all others from theirs."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.learn.evaluation import Evaluation
from pt4al_backend.learn.frozen.features import blocks
from pt4al_backend.learn.frozen.heads import Standard
from pt4al_backend.learn.tasks.whole_image import WholeImage


def tune(task: WholeImage, features: NDArray[np.float16], targets: NDArray[Any], evaluation: Evaluation) -> dict[str, float]:
    """Trains the head of a task, and hands its predictions to ``evaluation``; returns the seconds of both.

    ``features`` float16 [n, d] are those of the control picks, the candidates and the labelled images, in this order, which is
    also that of ``evaluation``; ``targets`` [l, ...] are those of the labelled images. Features that are kept are standardised,
    by all of them.

    Raises:
        TrainingImpossible: the targets cannot be learned; the message says why.
    """
    start = time.monotonic()
    standard = Standard.of(features)
    task.fit_head(standard(features[len(features) - len(targets) :]), targets, standard)
    trained = time.monotonic()
    for positions in blocks(np.arange(len(features))):
        evaluation.add(positions, (standard(features[positions]), task.posteriors_of(features[positions])))
    return {"train": trained - start, "score": time.monotonic() - trained}
