"""What every data set keeps to, whatever its files: a new one is tested by being registered."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.dataset import Dataset
from pt4al_backend.datasets.loader import Loader, Published
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.mask_files import Mask
from pt4al_backend.label_sets import from_text
from tests.support.dataset_trees import CIFAR10, HALVES, SHADES, TREES, halves, shade

PIXELS = 10_000
NAMED = [name for name in DATASETS if isinstance(DATASETS.load(name, Loader)(), Published)]


def read(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Dataset:
    TREES[name](folder, patch)
    return DATASETS.load(name, Loader)().read(folder, None, PIXELS)


@pytest.mark.parametrize("name", DATASETS)
def test_each_image_has_its_answer(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(name, tmp_path, monkeypatch)
    classes = SHADES.get(name, CIFAR10)
    assert found.task == DATASETS.load(name, Loader)().task(tmp_path, None)
    assert found.pool
    assert found.test
    for example in [*found.pool, *found.test]:
        image, size = example.decode(PIXELS, 8)
        label = example.label(PIXELS, size)
        if isinstance(label, Mask):
            assert halves(label, found.classes) == HALVES[name]
        elif found.task == "multilabel":
            assert set(from_text(label)) <= set(found.classes)
        else:
            assert np.asarray(image).mean() == pytest.approx(shade(classes.index(label)), abs=2)


@pytest.mark.parametrize("name", DATASETS)
def test_no_image_is_in_both_pool_and_test_and_each_has_an_id_of_its_own(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(name, tmp_path, monkeypatch)
    ids = [example.id for example in [*found.pool, *found.test]]
    assert len(set(ids)) == len(ids)
    assert not [each for each in ids if str(tmp_path) in each]


@pytest.mark.parametrize("name", DATASETS)
def test_a_larger_part_begins_with_the_smaller_one(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(name, tmp_path, monkeypatch)
    whole, again = found.part(), DATASETS.load(name, Loader)().read(tmp_path, None, PIXELS).part()
    fewer = found.part(len(found.pool) - 1, 2)
    assert [each.id for each in whole.pool] == [each.id for each in again.pool] != sorted(each.id for each in whole.pool)
    assert {each.id for each in whole.pool} == {each.id for each in found.pool}
    assert [each.id for each in fewer.pool] == [each.id for each in whole.pool][:-1]
    assert [each.id for each in fewer.test] == [each.id for each in whole.test][:2]
    assert (fewer.classes, fewer.params, fewer.task) == (found.classes, found.params, found.task)


@pytest.mark.parametrize("name", DATASETS)
def test_more_images_than_there_are_are_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(name, tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match=f"{len(found.test)} images, fewer than 1000") as refused:
        found.part(test=1000)
    assert "--test" in refused.value.remedy


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in NAMED for place in DATASETS.load(name, Loader)().needs])  # type: ignore[attr-defined]
def test_missing_files_are_named_with_source_and_place(
    tmp_path: Path, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    TREES[name](tmp_path, monkeypatch)
    gone = tmp_path / place
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    loader = DATASETS.load(name, Loader)()
    with pytest.raises(ConfigError) as refused:
        loader.read(tmp_path, None, PIXELS)
    assert str(gone) in refused.value.message
    assert loader.origin in refused.value.remedy
    assert all(line in refused.value.remedy for line in loader.layout)
    assert "--data" in refused.value.remedy


@pytest.mark.parametrize("name", NAMED)
def test_data_set_is_found_in_any_folder_and_by_name_in_another(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = DATASETS.load(name, Loader)()
    assert isinstance(loader, Published)
    own = tmp_path / loader.home
    ids = [example.id for example in read(name, own, monkeypatch).pool]
    assert [example.id for example in loader.read(tmp_path, None, PIXELS).pool] == ids
    renamed = own.rename(tmp_path / "mine")
    assert [example.id for example in loader.read(renamed, None, PIXELS).pool] == ids
    assert loader.home in loader.place


@pytest.mark.parametrize("name", NAMED)
def test_masks_option_is_refused_for_named_data_sets(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES[name](tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match="no masks") as refused:
        DATASETS.load(name, Loader)().read(tmp_path, tmp_path, PIXELS)
    assert "--masks" in refused.value.remedy


def test_unknown_data_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'mnist'") as refused:
        DATASETS.load("mnist", Loader)()
    assert all(name in refused.value.remedy for name in DATASETS)
