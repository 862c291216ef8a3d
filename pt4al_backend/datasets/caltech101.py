"""Caltech-101.

Source: L. Fei-Fei, R. Fergus and P. Perona, Learning Generative Visual Models from Few Training Examples, 2004.

The paper divides its 9,144 images into 8,046 and 1,098 and does not publish how. There are as many only with the folder
``BACKGROUND_Google``, so that counts as a class here, which makes 102. Our division is the same each time and stratified by
class: every class gives the test 12 % of its images.
"""

from pathlib import Path

from pt4al_backend.datasets import strata
from pt4al_backend.datasets.dataset import SEED, Dataset, Example
from pt4al_backend.datasets.folder_images import sub_folders
from pt4al_backend.datasets.loader import Published
from pt4al_backend.datasets.sorted_images import by_class

IMAGES, TEST = 9144, 1098  # in all, and of them for the test


class Caltech101(Published):
    """The ids of examples are their paths."""

    about = "Caltech-101: 8,046 images for the pool, 1,098 for the test (the division is ours), 102 classes with the background's"
    origin = (
        "Download caltech-101.zip (137 MB) from https://data.caltech.edu/records/mzrjq-6wc02. Unpack it, and the archives in it."
    )
    home = "101_ObjectCategories"
    layout = ("CLASS/                       image_0001.jpg …, BACKGROUND_Google among the classes",)
    needs = ("BACKGROUND_Google",)

    def _read(self, folder: Path) -> Dataset:
        classes = tuple(each.name for each in sub_folders(folder))
        examples = [Example(path.relative_to(folder).as_posix(), path, name) for path, name in by_class(folder).items()]
        order = strata.order([example.group for example in examples], SEED).tolist()
        held = round(len(examples) * TEST / IMAGES)
        test, pool = (sorted((examples[k] for k in part), key=lambda each: each.id) for part in (order[:held], order[held:]))
        return Dataset(self.main, classes, "Caltech-101, divided by us", pool, test)
