"""ImageNet (ILSVRC 2012) with superclasses for classes, 67 in the paper, which does not publish them: a file names them.

Source: O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015.

``superclasses.txt`` has a line for each of ImageNet's classes that is used: its WordNet number, white space, and the name of
its superclass: ``n02085620 dog``. Empty lines and those that begin with # say nothing. The paper's 1,279,867 and 49,950
images are those of 999 of the 1,000 classes, so its file leaves one out.
"""

import re
from pathlib import Path

from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.folder_images import files
from pt4al_backend.datasets.loader import Published
from pt4al_backend.errors import ConfigError

NAMES = "superclasses.txt"
_LINE = re.compile(r"(n\d{8})\s+(\S.*)")


class ImageNet67(Published):
    """The ids of examples are their paths."""

    about = "ImageNet with superclasses, 67 in the paper: 1,279,867 images for the pool, 49,950 for the test"
    origin = (
        "Download ILSVRC 2012, Task 1 and 2 (144 GB), from https://image-net.org and sort it into folders as "
        "torchvision.datasets.ImageNet does. Write the file of superclasses yourself: the paper does not publish its own."
    )
    home = "imagenet"
    layout = (
        "train/                       n01440764/n01440764_10026.JPEG …",
        "val/                         n01440764/ILSVRC2012_val_00000293.JPEG …",
        f"{NAMES}             a line for each of ImageNet's classes: its WordNet number and its superclass, n01440764 fish",
    )
    needs = ("train", "val", NAMES)

    def _read(self, folder: Path) -> Dataset:
        names = superclasses(folder / NAMES)
        pool, test = (_examples(folder / side, names) for side in self.needs[:2])
        classes = tuple(sorted(set(names.values())))
        return Dataset(self.main, classes, f"ImageNet with {len(classes)} superclasses", pool, test)


def superclasses(file: Path) -> dict[str, str]:
    """The superclass of each WordNet number.

    Raises:
        ConfigError: a line cannot be read or contradicts another.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None or found.get(match[1], match[2]) != match[2]:
            what = "says another superclass than a line before" if match else "is no WordNet number with a name"
            raise ConfigError(f"Line {number} of {file} {what}: {text[:80]!r}.", "Write lines like: n01440764 fish")
        found[match[1]] = match[2]
    if len(set(found.values())) < 2:
        raise ConfigError(f"{file} names fewer than two superclasses.", "Write lines like: n01440764 fish")
    return found


def _examples(root: Path, names: dict[str, str]) -> list[Example]:
    examples: list[Example] = []
    for wordnet, name in names.items():
        images = files(root / wordnet) if (root / wordnet).is_dir() else []
        if not images:
            remedy = f"Add its images, or take its line out of {NAMES}."
            raise ConfigError(f"The class {wordnet} ({name}) has no image in {root}.", remedy)
        examples += [Example(path.relative_to(root.parent).as_posix(), path, name) for path in images]
    return examples
