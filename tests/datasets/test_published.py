"""What single data sets need beyond the contract: their own codes, divisions and files."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.dataset import Dataset
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.mask_files import UNLABELLED, Mask
from tests.support.dataset_trees import TREES, drawings, photos


def planted(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    TREES[name](folder, patch)
    return folder


def read(name: str, folder: Path) -> Dataset:
    return DATASETS.load(name, Loader)().read(folder, None, 10_000)


def test_caltech_gives_the_test_its_share_of_every_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("BACKGROUND_Google", "anchor", "ant")):
        photos(tmp_path / name, number, 100 if number else 50)
    found = read("caltech101", tmp_path)
    assert Counter(each.group for each in found.test) == {"BACKGROUND_Google": 6, "anchor": 12, "ant": 12}
    assert len(found.pool) == 220
    assert [each.id for each in found.test] == [each.id for each in read("caltech101", tmp_path).test]


def test_a_class_without_an_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("caltech101", tmp_path, monkeypatch)
    (tmp_path / "dodo").mkdir()
    with pytest.raises(ConfigError, match=r"'dodo'.* no image in the pool"):
        read("caltech101", tmp_path).part()


def test_a_part_without_an_image_of_some_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read("caltech101", planted("caltech101", tmp_path, monkeypatch))
    assert found.part(3, 1).pool
    with pytest.raises(ConfigError, match="no image in the pool") as refused:
        found.part(2)
    assert "larger part" in refused.value.remedy


def test_imagenet_without_the_images_of_a_class_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("imagenet67", tmp_path, monkeypatch)
    shutil.rmtree(tmp_path / "val" / "n02085782")
    with pytest.raises(ConfigError, match=r"n02085782 \(dog\) has no image in .*val") as refused:
        read("imagenet67", tmp_path)
    assert "superclasses.txt" in refused.value.remedy


def test_imagenets_classes_without_a_superclass_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("imagenet67", tmp_path, monkeypatch)
    photos(tmp_path / "train" / "n04041544", 0, 3)
    found = read("imagenet67", tmp_path)
    assert not [each for each in found.pool if "n04041544" in each.id]
    assert len(found.pool) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n02085620 dog\nn0144 fish\n", "Line 2 of .* no WordNet number"),
        ("n02085620 dog\n\nn02085620 fish\n", "Line 3 of .* another superclass"),
        ("n02085620\n", "Line 1 of "),
        ("n02085620 dog\nn02085782 dog\n", "fewer than two"),
        ("# nothing\n", "fewer than two"),
        ("../../etc/x dog\n", "no WordNet number"),
    ],
)
def test_superclasses_that_cannot_be_read_are_refused_with_the_line(
    tmp_path: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted("imagenet67", tmp_path, monkeypatch)
    (tmp_path / "superclasses.txt").write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        read("imagenet67", tmp_path)
    assert "n01440764 fish" in refused.value.remedy


def test_cityscapes_numbers_become_its_train_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("cityscapes", tmp_path, monkeypatch)
    numbers = np.resize(np.array([*range(34), 255], np.uint8), (8, 8))
    for path in (tmp_path / "gtFine").rglob("*labelIds.png"):
        Image.fromarray(numbers).save(path)
    found = read("cityscapes", tmp_path)
    mask = found.pool[0].label(10_000, (8, 8))
    assert isinstance(mask, Mask)
    ids = dict(zip(numbers.flatten().tolist(), mask.ids.flatten().tolist(), strict=True))
    assert [number for number in ids if ids[number] != UNLABELLED] == [
        *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    ]
    assert [ids[number] for number in sorted(ids) if ids[number] != UNLABELLED] == list(range(19))
    assert (found.classes[ids[26]], found.classes[ids[33]]) == ("car", "bicycle")
    assert found.pool[0].id == "train/aachen/aachen_000000_000019"


def test_camvids_void_and_numbers_beyond_it_stay_unlabelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("camvid", tmp_path, monkeypatch)
    drawings(tmp_path / "trainannot", ["0.png"], (10, 12))
    found = read("camvid", tmp_path)
    mask = found.pool[0].label(10_000, (8, 8))
    assert isinstance(mask, Mask)
    assert set(mask.ids.flatten().tolist()) == {10, UNLABELLED}
    assert (found.classes[10], len(found.classes)) == ("bicyclist", 11)
    assert found.params["unlabelled"] == "ignore"


def test_an_image_without_a_mask_or_with_one_of_another_size_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("camvid", tmp_path, monkeypatch)
    (tmp_path / "trainannot" / "0.png").unlink()
    first, second, *_ = read("camvid", tmp_path).pool
    with pytest.raises(ImageUnreadable, match="no mask"):
        first.label(10_000, (8, 8))
    with pytest.raises(ImageUnreadable, match="8 x 9 pixels, its mask 8 x 8"):
        second.label(10_000, (8, 9))
