"""A main network that learned the whole pool with all its labels, and what it says of images: classification only.

It starts from fresh weights, other than those of the pretext learner with the same seed, and ends with its last epoch in every
preset: the best test epoch would be chosen by the images that are looked at.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.bench import job_folders
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn import devices, saved
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.inference import infer
from pt4al_backend.learn.labels.base import require_finite
from pt4al_backend.learn.networks import Classifier
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.progress import Report, silent

#: Added to a seed: both jobs draw their weights by the seed of their settings, and would start from the same body.
APART = 1_000_000


def require_classes(truth: Truth) -> None:
    """Raises ConfigError if images of a data set have no class each."""
    if truth.task != "classification":
        remedy = "Name a data set of classification, as `pt4al bench datasets` has them."
        raise ConfigError(f"This analysis needs images that have one class each; {truth.source} is for {truth.task}.", remedy)


def train(rankings: Path, truth: Truth, options: ProjectSettings, device: str, report: Report = silent) -> Path:
    """The artefact of the network for a run's settings and seed, below the folder of the rankings unless it is there already.

    Raises:
        ConfigError: the data set is not one of classification.
    """
    require_classes(truth)
    own = options.model_copy(update={"seed": options.seed + APART, "init": "fresh", "warm_start": False})
    return job_folders.learn_pool(rankings / job_folders.supervised_name(truth, own, device), truth, own, device, report)


def look(
    model: Path, truth: Truth, rows: NDArray[np.int64], device: str, report: Report = silent
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Pooled features float32 [n, d] and logits float64 [n, C] of images.

    Raises:
        TrainingImpossible: the model has diverged.
    """
    task = saved.load_model(model).task
    classifier, where = cast(Classifier, task.model), devices.choose(device)
    features = np.empty((len(rows), task.body.features), np.float32)
    logits = np.empty((len(rows), len(task.classes)), np.float64)

    def both(images: Tensor) -> tuple[Tensor, ...]:
        found = classifier.features(images)
        return found, classifier.logits(found)

    def take(positions: NDArray[np.int64], seen: tuple[NDArray[Any], ...]) -> None:
        features[positions], logits[positions] = seen

    with FrameFile(truth.pixels, truth.stored) as pixels:
        images = StoredImages(pixels, rows, Centre(truth.shape))
        infer(classifier, both, images, task.minibatch_limit(where), take, device=where, report=report)
    require_finite(logits)
    return features, logits


def losses(logits: NDArray[np.float64], labels: NDArray[np.str_], classes: tuple[str, ...]) -> tuple[NDArray[np.float64], float]:
    """Cross-entropy float64 [n] of logits [n, C] in nats, and the accuracy.

    ln(1 + sum of e^(l_k - l_y) over the other classes k) keeps apart the losses of images that the network is sure of; the
    logarithm of a posterior, which rounds to 1, would have them tie.
    """
    number = {name: k for k, name in enumerate(classes)}
    rows, truths = np.arange(len(labels)), np.array([number[label] for label in labels.tolist()], np.int64)
    beside = logits - logits[rows, truths][:, None]
    beside[rows, truths] = -np.inf
    found: NDArray[np.float64] = np.logaddexp(0, np.logaddexp.reduce(beside, axis=1))
    return found, float(np.mean(logits.argmax(1) == truths))
