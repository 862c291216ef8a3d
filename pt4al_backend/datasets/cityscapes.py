"""Cityscapes: the pool is its training images, the test its validation images, as its test set's answers are not published.

Source: M. Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, 2016. The masks are the ``labelIds``
of ``gtFine``; of their numbers 19 are classes, in the order of the train ids, and the others stay unlabelled.
"""

from pathlib import Path

from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.folder_images import files
from pt4al_backend.datasets.loader import Published
from pt4al_backend.datasets.mask_png import MaskPng, ids_of

#: The classes by their number in the masks.
CLASSES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
IMAGE, MASK = "_leftImg8bit", "_gtFine_labelIds"


class Cityscapes(Published):
    """The ids of examples are the files' names without what all share."""

    about = "Cityscapes: 2,975 images for the pool, 500 for the test, 2048 x 1024, 19 classes"
    origin = (
        "Log in at https://www.cityscapes-dataset.com, download leftImg8bit_trainvaltest.zip (11 GB) and "
        "gtFine_trainvaltest.zip, and unpack both into one folder."
    )
    home = "cityscapes"
    layout = (
        "leftImg8bit/                 train/aachen/aachen_000000_000019_leftImg8bit.png …, val/…",
        "gtFine/                      train/aachen/aachen_000000_000019_gtFine_labelIds.png …, val/…",
    )
    needs = ("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val")
    main = "segmentation"

    def _read(self, folder: Path) -> Dataset:
        pool, test = (_examples(folder / "leftImg8bit", folder / "gtFine", side) for side in ("train", "val"))
        return Dataset(self.main, tuple(CLASSES.values()), "Cityscapes", pool, test, {"unlabelled": "ignore"})


def _examples(images: Path, masks: Path, side: str) -> list[Example]:
    ids = ids_of(CLASSES)
    examples = []
    for path in files(images / side):
        if path.stem.endswith(IMAGE):
            name = path.relative_to(images).with_name(path.stem.removesuffix(IMAGE))
            examples.append(Example(name.as_posix(), path, MaskPng(masks / f"{name}{MASK}.png", ids)))
    return examples
