"""A folder of one's own: images sorted into classes, images with a list of classes each, or images and masks."""

from collections.abc import Sequence
from pathlib import Path

from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.drawn_images import DrawnImages
from pt4al_backend.datasets.folder_images import FolderImages, Reader
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.datasets.sorted_images import SortedImages
from pt4al_backend.datasets.tagged_images import NAMES, TaggedImages


class Folder(Loader):
    """The one data set that is looked through before it is used: what cannot be decoded is left out."""

    about = "images of your own: one sub-folder for each class; or any, with a list of the classes of each, or with masks"
    origin = "Keep it wherever you like."
    layout = (
        "CLASS/…                     images of a class each; or train/CLASS/… and test/CLASS/…",
        f"with {NAMES}: …         any images, in train/… and test/… or not; it is an object of each image's path below the",
        "                            folder and the list of its classes",
        "with --masks: …             any images, in train/… and test/… or not; --masks names a folder that has",
        "                            for each a PNG of the same name, and classes.txt, a name a line from number 0 on",
    )

    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> Dataset:
        """See `SortedImages.given`, `TaggedImages.given` and `DrawnImages.given`."""
        folder = folder.absolute()
        found = _kind(folder, masks).given(folder, masks and masks.absolute(), Reader(max_pixels))
        left_out = f", {len(found.unreadable):,} left out as unreadable" if found.unreadable else ""

        def examples(paths: Sequence[Path]) -> list[Example]:
            return [Example(path.relative_to(folder).as_posix(), path, found.answer(path)) for path in paths]

        pool, test = examples(found.pool), examples(found.test)
        return Dataset(found.task, found.classes, f"{found.source}{left_out}", pool, test, found.params)

    def task(self, folder: Path, masks: Path | None) -> str:
        """Segmentation if there are masks, multi-label classification if there is a list."""
        return _kind(folder, masks).task


def _kind(folder: Path, masks: Path | None) -> type[FolderImages]:
    if masks:
        return DrawnImages
    return TaggedImages if (folder / NAMES).is_file() else SortedImages
