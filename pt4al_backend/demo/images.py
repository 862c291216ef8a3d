"""Images with known labels: handwritten digits, or any folder with one sub-folder for each class."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image

from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.frames import SMALL
from pt4al_backend.images import decode

#: What Label Studio's upload takes and the backend reads.
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}
HELD_OUT = 0.25  # of each class, for the test, where a folder names no test images
SHOWN = 5  # unreadable files that an error names
DIGIT_PIXELS = 64

Labelled = tuple[Path, str]


@dataclass(frozen=True)
class Images:
    """A pool and a test set: pairs of a file and its label.

    ``sides`` are the shorter sides of the pool's images, in pixels; ``params`` settings that suit them.
    """

    classes: tuple[str, ...]
    pool: Sequence[Labelled]
    test: Sequence[Labelled]
    sides: Sequence[int]
    unreadable: Mapping[Path, str] = field(default_factory=dict)
    params: Mapping[str, int] = field(default_factory=dict)

    def label_config(self) -> str:
        """A labeling config that asks which class an image shows; digits are their own hotkeys."""
        hotkey = {name: f" hotkey={quoteattr(name)}" for name in self.classes if len(name) == 1 and name.isdecimal()}
        choices = "\n".join(f"    <Choice value={quoteattr(name)}{hotkey.get(name, '')}/>" for name in self.classes)
        return (
            '<View>\n  <Image name="image" value="$image" width="320px" maxWidth="320px"/>\n'
            '  <Choices name="label" toName="image" choice="single" showInLine="true">\n'
            f"{choices}\n  </Choices>\n</View>\n"
        )


def digits(folder: Path) -> Path:
    """Writes scikit-learn's 1,797 handwritten digits (8 x 8 pixels, enlarged) as PNG files; returns ``folder``.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        remedy = "Install pt4al-backend[demo], or give --images."
        raise ConfigError("The demo's digits come with scikit-learn, which is not installed.", remedy) from None
    scans = load_digits()
    grey = np.rint(255 - 255 / 16 * np.pad(scans.images, ((0, 0), (1, 1), (1, 1)))).astype(np.uint8)  # black on white
    for name in map(str, range(10)):
        (folder / name).mkdir(parents=True)
    for i, (scan, target) in enumerate(zip(grey, scans.target, strict=True)):
        image = Image.fromarray(scan).resize((DIGIT_PIXELS, DIGIT_PIXELS), Image.Resampling.BICUBIC)
        image.save(folder / str(target) / f"scan-{i:04}.png")
    return folder


def find(folder: Path, *, max_pixels: int, seed: int = 0, on_progress: Callable[[int, int], None] | None = None) -> Images:
    """Reads a folder: ``train/CLASS/…`` and ``test/CLASS/…`` if it has both, else ``CLASS/…`` with a quarter held out.

    Files that cannot be decoded are left out and listed. The pool comes in random order, as images do.

    Raises:
        ConfigError: no such folder, fewer than two classes, no images, a class without images on one side.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}.", "IMAGES (--images) names a folder with one sub-folder for each class.")
    rng = random.Random(seed)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        pool, test = _labelled(folder / "train"), _labelled(folder / "test")
    else:
        pool, test = _hold_out(_labelled(folder), rng)
    sides, unreadable = _check([*pool, *test], max_pixels, on_progress or (lambda _done, _total: None))
    pool = [each for each in pool if each[0] in sides]
    test = [each for each in test if each[0] in sides]
    classes = _classes(folder, pool, test, unreadable)
    rng.shuffle(pool)
    return Images(classes, pool, test, [sides[path] for path, _ in pool], unreadable)


def _labelled(folder: Path) -> list[Labelled]:
    """Image files below each sub-folder, with its name as their label; hidden ones are passed over."""
    found = []
    for each in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in each.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        found += [(path, each.name) for path in files if not path.name.startswith(".")]
    return found


def _hold_out(images: Iterable[Labelled], rng: random.Random) -> tuple[list[Labelled], list[Labelled]]:
    pool: list[Labelled] = []
    test: list[Labelled] = []
    by_class: dict[str, list[Labelled]] = {}
    for image in images:
        by_class.setdefault(image[1], []).append(image)
    for members in by_class.values():
        rng.shuffle(members)
        held = max(1, round(HELD_OUT * len(members))) if len(members) > 1 else 0
        test += members[:held]
        pool += members[held:]
    return pool, test


def _check(
    images: Sequence[Labelled], max_pixels: int, on_progress: Callable[[int, int], None]
) -> tuple[dict[Path, int], dict[Path, str]]:
    """Shorter side of each image that can be decoded, and why the others cannot."""

    def side(path: Path) -> int | str:
        try:
            return min(decode(path.read_bytes(), max_pixels, SMALL).size)
        except ImageUnreadable as error:
            return error.message
        except OSError as error:
            return f"It cannot be read ({error.strerror})."

    sides: dict[Path, int] = {}
    unreadable: dict[Path, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done, ((path, _), found) in enumerate(zip(images, threads.map(side, [path for path, _ in images]), strict=True)):
            if isinstance(found, int):
                sides[path] = found
            else:
                unreadable[path] = found
            on_progress(done + 1, len(images))
    return sides, unreadable


def _classes(folder: Path, pool: Iterable[Labelled], test: Iterable[Labelled], unreadable: dict[Path, str]) -> tuple[str, ...]:
    pools, tests = Counter(label for _, label in pool), Counter(label for _, label in test)
    classes = sorted(pools.keys() | tests.keys())
    reasons = "".join(f"\n{path}: {reason}" for path, reason in list(unreadable.items())[:SHOWN])
    layout = f"Make one sub-folder for each class, with images ({', '.join(sorted(SUFFIXES))}) in it.{reasons}"
    if not classes:
        raise ConfigError(f"There are no images in sub-folders of {folder}.", layout)
    if len(classes) < 2:
        raise ConfigError(f"{folder} holds images of one class only, {classes[0]!r}.", layout)
    for name in classes:
        if name != " ".join(name.split()):
            raise ConfigError(f"The class {name!r} has white space that Label Studio would change.", "Rename its folder.")
        if not pools[name] or not tests[name]:
            side = "pool" if not pools[name] else "test set"
            raise ConfigError(f"The class {name!r} has no image in the {side}.", f"Add images, at least two a class.{reasons}")
    return tuple(classes)
