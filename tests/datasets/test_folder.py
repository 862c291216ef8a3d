"""A folder of one's own as a data set of the benchmark."""

from pathlib import Path

import pytest

from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.mask_files import Mask
from tests.support.folders import of_task, save, save_masks

PIXELS = 10_000


def test_undecodable_images_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save(tmp_path / name, 8)
    (tmp_path / "cat" / "1.png").write_bytes(b"\x89PNG and no more")
    found = DATASETS.load("folder", Loader)().read(tmp_path, None, PIXELS)
    assert len(found.pool) + len(found.test) == 15
    assert "1 left out" in found.source


def test_folder_with_masks_is_a_segmentation_data_set(tmp_path: Path) -> None:
    save(tmp_path / "images", 8)
    save_masks(tmp_path / "masks", 8)
    (tmp_path / "masks" / "classes.txt").write_text("sky\nroad\n")
    found = DATASETS.load("folder", Loader)().read(tmp_path / "images", tmp_path / "masks", PIXELS)
    assert (found.task, found.classes) == ("segmentation", ("sky", "road"))
    assert DATASETS.load("folder", Loader)().task(tmp_path, tmp_path / "masks") == "segmentation"
    assert {example.id for example in [*found.pool, *found.test]} == {f"{number}.png" for number in range(8)}
    mask = found.pool[0].label(PIXELS, (8, 8))
    assert isinstance(mask, Mask)
    assert set(mask.ids.flatten().tolist()) == {0, 1}


def test_folder_with_a_list_of_classes_is_one_of_several_choices(tmp_path: Path) -> None:
    of_task("multilabel", tmp_path, 8)
    loader = DATASETS.load("folder", Loader)()
    assert loader.task(tmp_path, None) == "multilabel"
    found = loader.read(tmp_path, None, PIXELS).part()
    assert (found.task, found.classes) == ("multilabel", ("cat", "dog"))
    assert {example.label(PIXELS, (8, 8)) for example in found.pool} <= {"[]", '["cat"]', '["dog"]', '["cat", "dog"]'}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        DATASETS.load("folder", Loader)().read(tmp_path / "nowhere", None, PIXELS)
