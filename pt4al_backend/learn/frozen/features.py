"""Features of a frozen encoder: of the images of a frame file as they are, or of their other orientations."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn import peers
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.evaluation import to_float16
from pt4al_backend.learn.frozen.feature_file import SUFFIX, FeatureFile, blocks, path_beside
from pt4al_backend.learn.inference import infer, scoring_size
from pt4al_backend.learn.networks import TimmEncoder, pooled
from pt4al_backend.learn.pretext.rotation import VIEWS, rotations
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Report


class Features:
    """Computes what is missing and reads the rest.

    Args:
        encoder: with its weights.
        digest: of the weights.
        frames: the frame file.
        shape: height and width of what the encoder sees of a frame.
        device: where it computes.
        report: gets the progress.
    """

    def __init__(
        self, encoder: TimmEncoder, digest: str, frames: FrameFile, shape: Shape, device: torch.device, report: Report
    ) -> None:
        self._encoder, self._digest, self._frames, self._shape = encoder, digest, frames, shape
        self._device, self._report = device, report
        self._there: dict[str, NDArray[np.int64]] = {}  # rows of each file that have been looked at

    def upright(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Features float16 [m, d] of the images in rows int64 [m]."""
        with self._computed("upright", 1, rows) as file:
            return file.read(rows)[:, 0]

    def compute_upright(self, rows: NDArray[np.int64]) -> None:
        """Computes what ``upright`` would read of rows int64 [m]."""
        self._computed("upright", 1, rows).close()

    def compute_turned(self, rows: NDArray[np.int64]) -> None:
        """Computes what ``turned`` will read of rows int64 [m], so that the progress is that of all."""
        self._computed("turned", VIEWS, rows).close()

    def turned(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float16]]:
        """Features float16 [b, 4, d] of the four orientations of images (``rotations``), block by block of ``blocks(rows)``."""
        with self._computed("turned", VIEWS, rows) as file:
            for block in blocks(rows):
                yield file.read(block)

    def _computed(self, name: str, views: int, rows: NDArray[np.int64]) -> FeatureFile:
        file = FeatureFile(self._path(name), views, self._encoder.features)
        there = self._there.get(name, rows[:0])
        unseen = np.setdiff1d(rows, there)
        missing = np.concatenate([rows[:0], *(file.missing(block, self._frames) for block in blocks(unseen))])
        missing = peers.agreed(missing)

        def predict(images: Tensor) -> tuple[Tensor, ...]:
            seen = images if views == 1 else rotations(images)
            return (pooled(self._encoder(seen)).view(views, len(images), -1).transpose(0, 1),)

        def take(positions: NDArray[np.int64], found: tuple[NDArray[Any], ...]) -> None:
            if not np.isfinite(found[0]).all():
                raise TrainingImpossible(
                    f"The encoder {self._encoder.form.encoder!r} gives features that are no finite numbers.",
                    "Check the file of its weights, or set encoder in the extra params to another.",
                )
            file.write(missing[positions], to_float16(found[0]), self._frames)

        if len(missing):
            images = StoredImages(self._frames, missing, Centre(self._shape))
            size = scoring_size(self._device, self._shape, views)
            infer(
                self._encoder,
                predict,
                images,
                size,
                take,
                device=self._device,
                phase=Phase.FEATURES,
                report=self._report,
                everywhere=False,
            )
            file.flush()
            peers.wait()  # each has written its share
        self._there[name] = np.union1d(there, unseen)
        return file

    def forget_others(self) -> None:
        """Deletes the files of other encoders, weights or shapes beside the same frames."""
        frames, own = self._frames.path, self._path("").name.removesuffix(SUFFIX)
        for path in frames.parent.glob(f"{glob.escape(frames.stem)}-*{SUFFIX}*"):
            if not path.name.startswith(own):
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        form = self._encoder.form
        return path_beside(self._frames.path, form.encoder, self._digest, self._shape, name, form.least_side)
