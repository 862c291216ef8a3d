"""A folder of one's own: images sorted into classes, or images and masks."""

from collections.abc import Sequence
from pathlib import Path

from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.drawn_images import DrawnImages
from pt4al_backend.datasets.folder_images import FolderImages, Reader
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.datasets.sorted_images import SortedImages


class Folder(Loader):
    """The one data set that is looked through before it is used: what cannot be decoded is left out."""

    about = "images of your own: one sub-folder for each class; for segmentation any, and masks"
    origin = "Keep it wherever you like."
    layout = (
        "CLASS/…                     images of a class each; or train/CLASS/… and test/CLASS/…",
        "with --masks: …             any images, in train/… and test/… or not; --masks names a folder that has",
        "                            for each a PNG of the same name, and classes.txt, a name a line from number 0 on",
    )

    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> Dataset:
        """See `SortedImages.given` and `DrawnImages.given`."""
        folder = folder.absolute()
        found = _kind(masks).given(folder, masks and masks.absolute(), Reader(max_pixels))
        left_out = f", {len(found.unreadable):,} left out as unreadable" if found.unreadable else ""

        def examples(paths: Sequence[Path]) -> list[Example]:
            return [Example(path.relative_to(folder).as_posix(), path, found.answer(path)) for path in paths]

        pool, test = examples(found.pool), examples(found.test)
        return Dataset(found.task, found.classes, f"{found.source}{left_out}", pool, test, found.params)

    def task(self, masks: Path | None) -> str:
        """Segmentation, if there are masks."""
        return _kind(masks).task


def _kind(masks: Path | None) -> type[FolderImages]:
    return DrawnImages if masks else SortedImages
