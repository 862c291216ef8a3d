"""Drawn shapes of up to three kinds in an image: multi-label classification without a download."""

import numpy as np

from pt4al_backend.datasets import shapes
from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.loader import Made
from pt4al_backend.label_sets import to_text

POOL, TEST = 3000, 1000


class DrawnShapes(Made):
    """Drawn as it is read; the images are the same each time."""

    about = f"shapes of up to three kinds in an image, for multi-label classification: {POOL:,} and {TEST:,} for the test"
    origin = "There is nothing to download: they are drawn as they are read."
    noun = "Drawn shapes"
    main = "multilabel"

    def _made(self) -> Dataset:
        examples = [_example(number) for number in range(POOL + TEST)]
        source = f"drawn shapes of {len(shapes.CLASSES)} kinds"
        return Dataset(self.main, shapes.CLASSES, source, examples[:POOL], examples[POOL:])


def _example(number: int) -> Example:
    picture, shown = shapes.shapes(np.random.default_rng([0, number]))
    return Example(f"shapes-{number:04}", picture, to_text(shown, shapes.CLASSES))
