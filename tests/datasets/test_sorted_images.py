"""Images in one folder for each class."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pt4al_backend.datasets.folder_images import FolderImages
from pt4al_backend.datasets.sorted_images import SortedImages
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.label_studio.label_config import parse
from tests.support.folders import READER, save


def given(folder: Path) -> FolderImages:
    return SortedImages.given(folder, None, READER)


def test_a_quarter_of_each_class_of_digits_is_held_out(tmp_path: Path) -> None:
    digits = SortedImages.made(tmp_path, READER)
    assert digits.classes == tuple("0123456789")
    assert len(digits.pool) + len(digits.test) == 1797
    masks = MaskFiles(tmp_path / "masks")
    pool, test = digits.labels(digits.pool, masks), digits.labels(digits.test, masks)
    for name in digits.classes:
        assert test.count(name) / (pool + test).count(name) == pytest.approx(0.25, abs=0.01)


def test_a_folder_that_names_its_test_images_is_split_as_it_says(tmp_path: Path) -> None:
    for side, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            save(tmp_path / side / name, count)
    found = given(tmp_path)
    assert {path.parent.parent.name for path in found.pool} == {"train"}
    assert {path.parent.parent.name for path in found.test} == {"test"}
    assert (len(found.pool), len(found.test)) == (6, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.mkdir(), "no images in sub-folders"),
        (lambda folder: save(folder, 3), "no images in sub-folders"),
        (lambda folder: save(folder / "cat", 3), "one class only, 'cat'"),
        (lambda folder: (save(folder / "cat", 3), save(folder / "dog", 1)), "'dog' has no image in the test set"),
        (lambda folder: (save(folder / "cat", 3), save(folder / "big  dog", 3)), "white space"),
        (lambda folder: (save(folder / "cat", 3), save(folder / "dog", 3), save(folder / "emu", 0)), "'emu' has no image"),
        (lambda folder: (save(folder / "train" / "cat", 3), save(folder / "test" / "dog", 3)), "no image in the test set"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_a_reason(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "images")
    with pytest.raises(ConfigError) as refused:
        given(tmp_path / "images")
    assert message in refused.value.message
    assert refused.value.remedy


def test_masks_are_refused_for_classification(tmp_path: Path) -> None:
    save(tmp_path / "cat", 4)
    save(tmp_path / "dog", 4)
    with pytest.raises(ConfigError, match="no masks") as refused:
        SortedImages.given(tmp_path, tmp_path, READER)
    assert "TASK=segmentation" in refused.value.remedy


def test_broken_images_are_named_when_they_leave_a_class_empty(tmp_path: Path) -> None:
    save(tmp_path / "cat", 4)
    for name in ("a.png", "b.png"):
        (tmp_path / "dog").mkdir(exist_ok=True)
        (tmp_path / "dog" / name).write_text("no image")
    with pytest.raises(ConfigError) as refused:
        given(tmp_path)
    assert str(tmp_path / "dog" / "a.png") in refused.value.remedy


def test_labeling_config_lists_classes_of_any_name() -> None:
    names = ('<"cat" & dog\'s>', "7", "ä")
    found = SortedImages("", names, [], [], [])
    assert parse(found.label_config()).labels == names
    assert 'value="7" hotkey="7"' in found.label_config()
