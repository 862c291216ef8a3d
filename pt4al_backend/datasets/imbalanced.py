"""CIFAR-10 with few images of some classes in the pool, by the counts of the paper's section 5.3; the test set stays whole.

Which images of a class are kept is not published. Ours are drawn uniformly, the same each time, so that the pools of the two
copies are not the same images.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from pt4al_backend.datasets.cifar10 import Cifar10
from pt4al_backend.datasets.cifar10_jpeg import Cifar10Jpeg
from pt4al_backend.datasets.dataset import SEED, Dataset, Example
from pt4al_backend.errors import ConfigError

#: Images of each class in the pool.
COUNTS = {
    "airplane": 500,
    "automobile": 1000,
    "bird": 1500,
    "cat": 2000,
    "deer": 2500,
    "dog": 3000,
    "frog": 3500,
    "horse": 4000,
    "ship": 4500,
    "truck": 5000,
}

_ABOUT = "imbalanced: 27,500 images for the pool, 500 airplanes, 1,000 automobiles … 5,000 trucks"


class ImbalancedCifar10(Cifar10):
    """Drawn from the original."""

    about = f"CIFAR-10, {_ABOUT}"

    def _read(self, folder: Path) -> Dataset:
        return imbalanced(super()._read(folder))


class ImbalancedCifar10Jpeg(Cifar10Jpeg):
    """Drawn from the lossy copy."""

    about = f"the lossy copy of CIFAR-10, {_ABOUT}"

    def _read(self, folder: Path) -> Dataset:
        return imbalanced(super()._read(folder))


def imbalanced(whole: Dataset) -> Dataset:
    """Keeps `COUNTS` of the pool's images.

    Raises:
        ConfigError: there are fewer.
    """
    of_class: dict[str, list[Example]] = defaultdict(list)
    for example in whole.pool:
        of_class[example.group].append(example)
    rng = np.random.default_rng(SEED)
    pool: list[Example] = []
    for name, count in COUNTS.items():
        there = of_class[name]
        if count > len(there):
            raise ConfigError(f"{whole.source} has {len(there)} images of {name!r}; {count} are wanted.", "Get it again, whole.")
        pool += [there[k] for k in np.sort(rng.permutation(len(there))[:count])]
    return replace(whole, pool=pool, source=f"{whole.source}, imbalanced")
