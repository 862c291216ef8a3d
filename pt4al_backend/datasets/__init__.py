"""Data sets with known answers, one file each: what the benchmark and the demo learn from.

The registry names classes without importing them, so that a list of the names needs none of what reads them.
"""

from typing import TYPE_CHECKING, cast

from pt4al_backend.config.registry import imported
from pt4al_backend.errors import ConfigError

if TYPE_CHECKING:
    from pt4al_backend.datasets.loader import Loader

#: Name of each data set -> "module:class".
DATASETS: dict[str, str] = {
    "folder": "pt4al_backend.datasets.folder:Folder",
    "cifar10": "pt4al_backend.datasets.cifar10:Cifar10",
    "cifar10-jpeg": "pt4al_backend.datasets.cifar10_jpeg:Cifar10Jpeg",
    "imbalanced-cifar10": "pt4al_backend.datasets.imbalanced:ImbalancedCifar10",
    "imbalanced-cifar10-jpeg": "pt4al_backend.datasets.imbalanced:ImbalancedCifar10Jpeg",
    "caltech101": "pt4al_backend.datasets.caltech101:Caltech101",
    "imagenet67": "pt4al_backend.datasets.imagenet67:ImageNet67",
    "cityscapes": "pt4al_backend.datasets.cityscapes:Cityscapes",
    "camvid": "pt4al_backend.datasets.camvid:CamVid",
}


def load(name: str) -> "Loader":
    """What reads the data set of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in DATASETS:
        remedy = f"There are {', '.join(DATASETS)}; `pt4al bench datasets` says what they are."
        raise ConfigError(f"There is no data set {name!r}.", remedy)
    return cast("type[Loader]", imported(DATASETS[name]))()
