"""Images with a mask each: how masks are found, what their numbers mean, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pt4al_backend.datasets.drawn_images import DrawnImages
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.mask_files import UNLABELLED, MaskFiles
from pt4al_backend.label_studio.label_config import parse
from tests.support.folders import READER, save, save_masks

COUNT = 8


def given(folder: Path) -> DrawnImages:
    return DrawnImages.given(folder / "images", folder / "masks", READER)


def name_classes(folder: Path, text: str) -> None:
    (folder / "masks" / "classes.txt").write_text(text)


def drawn(images: DrawnImages, folder: Path) -> set[int]:
    """The ids in the mask of the first image."""
    masks = MaskFiles(folder / "drawn")
    return set(np.unique(masks.get(images.labels(images.pool[:1], masks)[0]).ids).tolist())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images, and masks of the numbers 1 and 2."""
    save(tmp_path / "images", COUNT)
    save_masks(tmp_path / "masks", COUNT, numbers=(1, 2))
    return tmp_path


def test_names_of_classes_come_from_a_file(folder: Path) -> None:
    name_classes(folder, "sky\n  open   road \ncar\n\n")
    found = given(folder)
    assert found.classes == ("sky", "open road", "car")
    assert found.words(found.pool[0]) == "open road, car"
    assert drawn(found, folder) == {1, 2}


def test_without_the_file_the_numbers_are_the_names(folder: Path) -> None:
    found = given(folder)
    assert found.classes == ("class 1", "class 2")
    assert drawn(found, folder) == {0, 1}


@pytest.mark.parametrize("name", ["void", "Ignore", "unlabelled", ""])
def test_number_without_a_class_stays_unlabelled(folder: Path, name: str) -> None:
    name_classes(folder, f"sky\n{name}\nroad\ncar")
    found = given(folder)
    assert found.classes == ("sky", "road", "car")
    assert drawn(found, folder) == {UNLABELLED, 1}
    assert found.words(found.pool[0]) == "road"
    assert found.params["unlabelled"] == "ignore"


def test_number_255_stays_unlabelled(folder: Path) -> None:
    save_masks(folder / "masks", COUNT, numbers=(1, 255))
    name_classes(folder, "sky\nroad\n")
    assert drawn(given(folder), folder) == {UNLABELLED, 1}


def test_masks_of_palette_colours_are_numbers_too(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        ids = Image.open(path).convert("L")
        ids.putpalette([9, 9, 9] * 256)
        ids.save(path, bits=2)
    assert drawn(given(folder), folder) == {0, 1}


@pytest.mark.parametrize("suffix", ["annot", ""])
def test_train_and_test_are_kept_apart_and_masks_may_lie_as_in_camvid(tmp_path: Path, suffix: str) -> None:
    for side, count in (("train", 3), ("test", 2), ("val", 1)):
        save(tmp_path / side, count, suffix=".webp")
        save_masks(tmp_path / f"{side}{suffix}", count)
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    found = DrawnImages.given(tmp_path, tmp_path, READER)
    assert {(path.parent.name, path.suffix) for path in found.pool} == {("train", ".webp")}
    assert {(path.parent.name, path.suffix) for path in found.test} == {("test", ".webp")}
    assert (len(found.pool), len(found.test)) == (3, 2)


def test_masks_in_a_sub_folder_are_no_images(tmp_path: Path) -> None:
    save(tmp_path, 4)
    save_masks(tmp_path / "masks", 4)
    found = DrawnImages.given(tmp_path, tmp_path / "masks", READER)
    assert {path.parent for path in [*found.pool, *found.test]} == {tmp_path}
    assert not found.unreadable


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda mask: mask.unlink(), "There is no mask"),
        (lambda mask: mask.write_bytes(b"\x89PNG and no more"), "damaged"),
        (lambda mask: Image.new("RGB", (8, 8)).save(mask), "RGB"),
        (lambda mask: Image.new("L", (8, 9)).save(mask), "8 x 8 pixels, its mask 8 x 9"),
        (lambda mask: Image.new("1", (2000, 2000)).save(mask), "more than 1,000,000"),
    ],
)
def test_an_image_whose_mask_cannot_be_used_is_left_out_with_the_reason(
    folder: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(folder / "masks" / "2.png")
    found = given(folder)
    assert list(found.unreadable) == [folder / "images" / "2.png"]
    assert reason in found.unreadable[folder / "images" / "2.png"]
    assert len(found.pool) + len(found.test) == COUNT - 1


def test_an_image_is_not_its_own_mask(tmp_path: Path) -> None:
    save(tmp_path, 4)
    with pytest.raises(ConfigError, match="No image") as refused:
        DrawnImages.given(tmp_path, tmp_path, READER)
    assert "its own mask" in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sky\nroad\n", "1.png holds the number 2, but .* names 2 classes"),
        ("sky\n\n\n", "holds the number 1"),
        ("void\nroad\nvoid\n", "two classes or more"),
        ("sky\nroad\nsky\n", "a name of its own"),
        ("".join(f"{i}\n" for i in range(256)), "255 are the most"),
    ],
)
def test_class_names_that_do_not_fit_the_masks_are_refused(folder: Path, text: str, message: str) -> None:
    for path in (folder / "masks").glob("[!1].png"):
        Image.new("L", (8, 8), 0).save(path)
    name_classes(folder, text)
    with pytest.raises(ConfigError, match=message) as refused:
        given(folder)
    assert "classes.txt" in refused.value.remedy


@pytest.mark.parametrize("masks", [None, Path("nowhere")])
def test_segmentation_without_masks_says_what_they_are(folder: Path, masks: Path | None) -> None:
    with pytest.raises(ConfigError) as refused:
        DrawnImages.given(folder / "images", masks, READER)
    assert "--masks" in refused.value.remedy


def test_the_labeling_config_offers_a_brush_for_each_class_whatever_it_is_called() -> None:
    names = ('<"sky" & cloud>', "7", "ä")
    found = DrawnImages("", names, [], [], [])
    config = parse(found.label_config())
    assert (config.labels, config.task) == (names, "segmentation")
    assert len(set(found.label_config().split('background="')[1:])) == 3
