"""Features of a data set's images by a frozen encoder: computed once, beside the frames, for the runs of all arms and seeds."""

import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench.job_folders import common
from pt4al_backend.bench.locks import held
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import ProjectSettings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn import devices
from pt4al_backend.learn.frozen.features import Features
from pt4al_backend.learn.frozen.heads import Standard
from pt4al_backend.learn.networks import LEAST_SIDE_FROZEN, TimmEncoder, TimmForm
from pt4al_backend.learn.weights.pretrained import give
from pt4al_backend.progress import Report, silent


class Described(NamedTuple):
    """Features float16 [n, d] of all images of a data set, by row, and the standard that all of them give."""

    features: NDArray[np.float16]
    standard: Standard


#: Of the data set that was read last, by its frames, their digest, the encoder and the device.
_known: dict[tuple[Path, str, str, str], Described] = {}


def compute(truth: Truth, options: ProjectSettings, device: str, report: Report = silent, *, turned: bool) -> float:
    """Computes what is missing of all images, their other orientations as well if they are ``turned``; returns the seconds.

    So no run pays for what others use too.

    Raises:
        ConfigError: the encoder cannot take such images.
        TrainingImpossible: there are no weights of the encoder.
    """
    start = time.monotonic()
    of(truth, options, device, report)
    if turned:
        rows = np.arange(len(truth.labels))
        with held(truth.pixels, wait=True), FrameFile(truth.pixels, truth.stored) as frames:
            _features(truth, options, device, frames, report).compute_turned(rows)
    return time.monotonic() - start


def of(truth: Truth, options: ProjectSettings, device: str, report: Report = silent) -> Described:
    """All images of a data set, described by a frozen encoder."""
    key = truth.pixels, truth.digest, options.frozen_encoder, device
    if key not in _known:
        with held(truth.pixels, wait=True), FrameFile(truth.pixels, truth.stored) as frames:
            _known.clear()  # one data set at a time
            found = _features(truth, options, device, frames, report).upright(np.arange(len(truth.labels)))
        _known[key] = Described(found, Standard.of(found))
    return _known[key]


def _features(truth: Truth, options: ProjectSettings, device: str, frames: FrameFile, report: Report) -> Features:
    own = common(truth, options, device)
    encoder, digest = _encoder(options.frozen_encoder, truth.shape, own["weights"], own["pretrained"])
    return Features(encoder, digest, frames, truth.shape, devices.choose(device), report)


@lru_cache(maxsize=1)
def _encoder(name: str, shape: Shape, folder: Path | None, pretrained: str) -> tuple[TimmEncoder, str]:
    """An encoder with its weights, and their digest."""
    encoder = TimmEncoder(TimmForm(name, least_side=LEAST_SIDE_FROZEN))
    encoder.require_shape(shape)
    return encoder, give(encoder, folder, pretrained, lambda _: None).sha256
