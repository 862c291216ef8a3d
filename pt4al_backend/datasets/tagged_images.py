"""Images with any number of classes each, for multi-label classification: drawn shapes, or one's own."""

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from pt4al_backend.datasets import shapes
from pt4al_backend.datasets.chosen_images import ChosenImages
from pt4al_backend.datasets.folder_images import Reader, files, reasons, split
from pt4al_backend.errors import ConfigError
from pt4al_backend.label_sets import from_text, to_text
from pt4al_backend.label_studio.classification import ChoicesReader
from pt4al_backend.label_studio.multilabel import MultilabelReader

SHAPES = 900
NAMES = shapes.NAMES
LAYOUT = (
    f"{NAMES} in the folder is one JSON object: the path of each image below the folder, and a list of the classes that it "
    'shows, such as {"a/1.jpg": ["cat", "dog"], "a/2.jpg": []}.'
)


@dataclass(frozen=True)
class TaggedImages(ChosenImages):
    """``chosen`` is the text of each image's set of classes (see ``label_sets``)."""

    task: ClassVar[str] = "multilabel"
    choice: ClassVar[str] = "multiple"
    label_reader: ClassVar[type[ChoicesReader]] = MultilabelReader

    @classmethod
    def made(cls, folder: Path, reader: Reader) -> Self:
        """Drawn shapes."""
        shapes.write(folder / "images", SHAPES)
        found = cls.given(folder / "images", None, reader)
        return replace(found, source=f"{SHAPES} images of drawn shapes", params={"query_size": 60})

    @classmethod
    def given(cls, images: Path, masks: Path | None, reader: Reader) -> Self:
        """Any images, in ``train/…`` and ``test/…`` or not, that ``labels.json`` lists."""
        if masks is not None:
            raise ConfigError(
                "Images with several classes each have no masks.", "Leave MASKS (--masks) out, or set TASK=segmentation."
            )
        if not images.is_dir():
            raise ConfigError(f"There is no folder {images}.", "IMAGES (--images) names the folder of the images.")
        tags = read_names(images / NAMES)
        classes = tuple(sorted({name for names in tags.values() for name in names}))
        known = {images / path: to_text(names, classes) for path, names in tags.items()}

        often = Counter(name for names in tags.values() for name in names)
        rarest = {images / path: min(names, key=lambda name: (often[name], name), default="") for path, names in tags.items()}

        def find(folder: Path) -> dict[Path, str]:
            return {path: rarest[path] for path in files(folder) if path in rarest}  # so that the test gets some of each class

        rng = random.Random(0)
        pool, test = split(images, find, rng)
        sizes, unreadable = reader.read([*pool, *test], reader.size)
        pool, test = ({path: known[path] for path in side if path in sizes} for side in (pool, test))
        _require_classes(images, classes, {"pool": pool, "test set": test}, unreadable)
        order = list(pool)
        rng.shuffle(order)
        seen = [sizes[path] for path in order]
        return cls(f"the images of {images}", classes, order, list(test), seen, unreadable, {}, {**pool, **test})

    def words(self, path: Path) -> str:
        return ", ".join(from_text(self.chosen[path])) or "none of them"


def read_names(file: Path) -> dict[str, list[str]]:
    """The classes of each image, by its path below the folder of ``labels.json``.

    Raises:
        ConfigError: there is no such file, or it says something else.
    """
    try:
        tags: Any = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read ({error}).", LAYOUT) from error
    if not isinstance(tags, dict):
        raise ConfigError(f"{file} holds no object.", LAYOUT)
    for path, names in tags.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name == " ".join(name.split()) for name in names):
            raise ConfigError(f"{file} says {names!r} of {path!r}, which is no list of classes.", LAYOUT)
    return tags


def _require_classes(
    images: Path, classes: tuple[str, ...], sides: Mapping[str, Mapping[Path, str]], unreadable: Mapping[Path, str]
) -> None:
    for side, there in sides.items():
        if not there:
            raise ConfigError(
                f"No image of {images} that {NAMES} lists is left for the {side}.", f"{LAYOUT}{reasons(unreadable)}"
            )
        counts = Counter(name for text in there.values() for name in from_text(text))
        for name in classes:
            if not counts[name]:
                raise ConfigError(f"The class {name!r} has no image in the {side}.", f"Add images of it.{reasons(unreadable)}")
    if not classes:
        raise ConfigError(f"{images / NAMES} names no class.", LAYOUT)
