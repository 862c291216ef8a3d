"""Drawn shapes of up to three kinds in an image: multi-label classification without a download."""

from pathlib import Path

import numpy as np

from pt4al_backend.datasets import shapes
from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.errors import ConfigError
from pt4al_backend.label_sets import to_text

POOL, TEST = 3000, 1000


class DrawnShapes(Loader):
    """The one data set that is drawn as it is read; the images are the same each time."""

    about = f"shapes of up to three kinds in an image, for multi-label classification: {POOL:,} and {TEST:,} for the test"
    origin = "There is nothing to download: they are drawn as they are read."
    layout = ("any folder; nothing in it is read",)

    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> Dataset:  # noqa: ARG002 - nothing is read
        """Draws them."""
        if masks is not None:
            raise ConfigError("Drawn shapes have no masks.", "Leave --masks out.")
        examples = [_example(number) for number in range(POOL + TEST)]
        source = f"drawn shapes of {len(shapes.CLASSES)} kinds"
        return Dataset(self.task(folder, masks), shapes.CLASSES, source, examples[:POOL], examples[POOL:])

    def task(self, folder: Path, masks: Path | None) -> str:  # noqa: ARG002 - it has no others
        """Always the same."""
        return "multilabel"


def _example(number: int) -> Example:
    picture, shown = shapes.shapes(np.random.default_rng([0, number]))
    return Example(f"shapes-{number:04}", picture, to_text(shown, shapes.CLASSES))
