"""Masks of class ids in files: what annotators drew, and what a model predicts.

A mask is uint8 [height, width]: the index of each pixel's class, or ``UNLABELLED``. It is kept as a PNG whose name holds
its size and a digest of its content, so that the same mask is the same file and the state holds only names.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pt4al_backend.artefacts import atomic_write
from pt4al_backend.errors import Part, StoreCorrupt

#: The id of a pixel that nobody gave a class.
UNLABELLED = 255
#: Most classes that a mask can hold.
MOST_CLASSES = 255

_SCORES, _CLASSES = "scores", "classes"
_END = b"IEND\xaeB`\x82"  # of every whole PNG


@dataclass(frozen=True, eq=False)
class Mask:
    """Class ids uint8 [height, width].

    Of a model's mask also the mean top-1 posterior of each class's pixels, by id, and the names of the classes that its
    ids stand for: the labeling config may list others by the time it is shown.
    """

    ids: NDArray[np.uint8]
    scores: Mapping[int, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


def size_of(name: str) -> tuple[int, int]:
    """(width, height) of the mask of that name. An annotation without any region has no size of its own: (1, 1)."""
    width, _, height = name.partition("-")[0].partition("x")
    return int(width), int(height)


def id_of(name: str, classes: Sequence[str]) -> int | None:
    """The id of the class of that name, in whatever case; None if there is none."""
    return next((k for k, each in enumerate(classes) if each.casefold() == name.casefold()), None)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def _encoded(mask: Mask) -> bytes:
    text = PngInfo()
    if mask.scores:
        text.add_text(_SCORES, json.dumps({str(key): round(float(value), 6) for key, value in sorted(mask.scores.items())}))
    if mask.classes:
        text.add_text(_CLASSES, json.dumps(mask.classes))
    buffer = BytesIO()
    Image.fromarray(mask.ids).save(buffer, "PNG", pnginfo=text, compress_level=1)
    return buffer.getvalue()


class MaskFiles:
    """The masks of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, mask: Mask) -> str:
        """Keeps a mask and returns its name.

        Raises:
            OSError: the disk is full or failing.
        """
        data = _encoded(mask)
        height, width = mask.ids.shape
        name = f"{width}x{height}-{_digest(data)}"
        path = self._path(name)
        if not path.exists() or path.read_bytes() != data:
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic_write(path, data)
        return name

    def has(self, name: str) -> bool:
        """Whether there is a mask of that name, written to its end."""
        try:
            with self._path(name).open("rb") as file:
                file.seek(-len(_END), os.SEEK_END)
                return file.read() == _END
        except OSError:
            return False

    def get(self, name: str) -> Mask:
        """The mask of that name.

        Raises:
            StoreCorrupt: it is missing or damaged.
        """
        path = self._path(name)
        try:
            with Image.open(path, formats=("PNG",)) as image:
                ids = np.asarray(image, dtype=np.uint8)
                scores = json.loads(str(image.info.get(_SCORES, "{}")))
                classes = json.loads(str(image.info.get(_CLASSES, "[]")))
            if (ids.shape[1], ids.shape[0]) != size_of(name):
                raise ValueError("another size than its name says")
            return Mask(ids, {int(key): float(value) for key, value in scores.items()}, tuple(map(str, classes)))
        except Exception as error:  # a damaged PNG surfaces as any of a dozen types
            raise StoreCorrupt(
                f"The mask {path.name} is missing or damaged ({type(error).__name__}).",
                f"Delete {path}: its annotations are read again with the next full pass.",
                part=Part.MASKS,
            ) from error

    def forget_damaged(self) -> None:
        """Deletes the masks that are not what was written: their names hold a digest of that."""
        for path in self._folder.glob("*.png"):
            if not path.stem.endswith(_digest(path.read_bytes())):
                path.unlink(missing_ok=True)

    def prune(self, wanted: Collection[str]) -> None:
        """Deletes the masks that are not among ``wanted``."""
        keep = {self._path(name) for name in wanted}
        for path in self._folder.glob("*.png"):
            if path not in keep:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"
