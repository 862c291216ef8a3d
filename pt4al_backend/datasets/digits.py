"""Handwritten digits, which scikit-learn ships: images unlike any that a network for photos has seen.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from pt4al_backend.datasets import strata
from pt4al_backend.datasets.dataset import SEED, Dataset, Example
from pt4al_backend.datasets.loader import Made

CLASSES = tuple(map(str, range(10)))
SCANS, TEST = 1797, 450
PIXELS = 64


def scans() -> Iterator[tuple[Image.Image, str]]:
    """The scans of 8 x 8 pixels, black on white and enlarged, each with its digit."""
    from sklearn.datasets import load_digits  # a second that images of one's own need not wait

    found = load_digits()
    grey = np.rint(255 - 255 / 16 * np.pad(found.images, ((0, 0), (1, 1), (1, 1)))).astype(np.uint8)
    for scan, target in zip(grey, found.target, strict=True):
        yield Image.fromarray(scan).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC), CLASSES[target]


class Digits(Made):
    """The division is ours, the same each time and stratified by class."""

    about = f"handwritten digits, {SCANS - TEST:,} scans for the pool, {TEST} for the test (the division is ours), 10 classes"
    origin = "There is nothing to download: scikit-learn ships them."
    noun = "Handwritten digits"
    main = "classification"

    def _made(self) -> Dataset:
        images = enumerate(scans())
        examples = [Example(f"scan-{number:04}", np.asarray(scan.convert("RGB")), name) for number, (scan, name) in images]
        order = strata.order([example.group for example in examples], SEED)
        test, pool = ([examples[k] for k in np.sort(part).tolist()] for part in (order[:TEST], order[TEST:]))
        return Dataset(self.main, CLASSES, "handwritten digits, divided by us", pool, test)
