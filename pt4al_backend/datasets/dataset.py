"""A data set with all its answers, as the benchmark reads it: a pool and a test set of examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.datasets import strata
from pt4al_backend.datasets.mask_png import MaskPng, require_size
from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.decode import decode
from pt4al_backend.images.mask_files import Mask
from pt4al_backend.label_sets import from_text

Answer = str | MaskPng
Size = tuple[int, int]  # width, height

_WORDS = {"pool": "pool", "test": "test set"}

SEED = 0  # of the order of a data set: runs of all seeds see the same one


@dataclass(frozen=True, eq=False, slots=True)
class Example:
    """An image and its answer.

    Attributes:
        id: its name in the data set, the same whatever part of it is read.
        image: a file, a file's content, or uint8 [height, width, 3].
        answer: its class, the text of a set of classes (see ``label_sets``), or the mask.
    """

    id: str
    image: Path | bytes | NDArray[np.uint8]
    answer: Answer

    @property
    def group(self) -> str:
        """What parts of a data set are stratified by: the class, or the set of classes; masks are all alike."""
        return self.answer if isinstance(self.answer, str) else ""

    def decode(self, max_pixels: int, size_hint: int) -> tuple[Image.Image, Size]:
        """The image as RGB and its own size; see `decode`.

        Raises:
            ImageUnreadable: it cannot be decoded.
        """
        if isinstance(self.image, np.ndarray):
            picture = Image.fromarray(self.image)
            return picture, picture.size
        try:
            content = self.image if isinstance(self.image, bytes) else self.image.read_bytes()
        except OSError as error:
            raise ImageUnreadable(f"It cannot be read ({error.strerror}).") from error
        return decode(content, max_pixels, size_hint)[:2]

    def label(self, max_pixels: int, size: Size) -> str | Mask:
        """The class or set of classes, or the mask of an image of that size.

        Raises:
            ImageUnreadable: the mask cannot be read, or is of another size.
        """
        if isinstance(self.answer, str):
            return self.answer
        mask = self.answer.mask(max_pixels)
        require_size(size, mask.ids)
        return mask


@dataclass(frozen=True)
class Dataset:
    """A pool and a test set.

    Attributes:
        task: the main task.
        classes: what a model learns.
        source: what it is, for people.
        pool: examples to choose from.
        test: examples that are never in the pool.
        params: settings of a project that suit them.
    """

    task: str
    classes: tuple[str, ...]
    source: str
    pool: Sequence[Example]
    test: Sequence[Example]
    params: Mapping[str, Any] = field(default_factory=dict)

    def part(self, pool: int | None = None, test: int | None = None) -> "Dataset":
        """This many examples of pool and test set, None for all, in a random order that is the same each time.

        Both are stratified by class, and a larger part begins with the smaller one.

        Raises:
            ConfigError: there are fewer, or some class has no image.
        """
        self.require_classes("pool", "test")
        taken = replace(self, pool=_first(self.pool, pool, "pool"), test=_first(self.test, test, "test"))
        taken.require_classes("pool")
        return taken

    def require_classes(self, *sides: str) -> None:
        """Checks that each class has an image on each of the sides; of masks, that there is any image.

        Raises:
            ConfigError: one has none.
        """
        for side in sides:
            there = {name for example in getattr(self, side) for name in self._names(example)}
            for name in ("",) if self.task == "segmentation" else self.classes:
                if name not in there:
                    of_what = f"The class {name!r} of {self.source}" if name else self.source
                    raise ConfigError(f"{of_what} has no image in the {_WORDS[side]}.", "Add some, or take a larger part of it.")

    def _names(self, example: Example) -> tuple[str, ...]:
        """The classes of an example; of masks, the one group that they are."""
        return from_text(example.group) if self.task == "multilabel" else (example.group,)


def _first(examples: Sequence[Example], count: int | None, side: str) -> list[Example]:
    if count is not None and count > len(examples):
        raise ConfigError(
            f"The {_WORDS[side]} has {len(examples)} images, fewer than {count}.", f"Lower --{side}, or leave it out."
        )
    order = strata.order([example.group for example in examples], SEED)
    return [examples[k] for k in order[:count].tolist()]
