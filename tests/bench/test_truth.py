"""A data set decoded once, with all that an oracle answers."""

from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.bench.truth import Truth, write
from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.dataset import Dataset
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.errors import ConfigError, StoreCorrupt
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.mask_files import MaskFiles
from tests.support.dataset_trees import HALVES, SHADES, TREES, halves, shade

PIXELS = 10_000
KINDS = ("caltech101", "cifar10-jpeg", "camvid")


def read(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Dataset:
    TREES[name](folder, patch)
    return DATASETS.load(name, Loader)().read(folder, None, PIXELS).part()


def written(folder: Path, found: Dataset) -> Truth:
    return write(folder, found, gpu=False, image_size=None, max_pixels=PIXELS)


@pytest.mark.parametrize("name", KINDS)
def test_rows_are_the_pools_images_and_then_the_tests_with_their_labels(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(name, tmp_path / "given", monkeypatch)
    truth = written(tmp_path / "truth", found)
    examples = [*found.pool, *found.test]
    assert (truth.task, truth.classes, truth.source, truth.params) == (found.task, found.classes, found.source, found.params)
    assert (truth.pool, truth.test.tolist()) == (len(found.pool), list(range(len(found.pool), len(examples))))
    assert truth.ids.tolist() == [example.id for example in examples]
    with FrameFile(truth.pixels, truth.stored) as pixels:
        greys = pixels.read(np.arange(len(examples))).mean(axis=(1, 2, 3))
    if truth.task == "segmentation":
        assert {halves(MaskFiles(truth.masks).get(label), truth.classes) for label in truth.labels.tolist()} == {HALVES[name]}
    else:
        assert truth.labels.tolist() == [example.answer for example in examples]
        names = SHADES.get(name, truth.classes)
        assert greys == pytest.approx([shade(names.index(label)) for label in truth.labels.tolist()], abs=2)


@pytest.mark.parametrize("name", ["labels.npy", "ids.npy"])
def test_incomplete_data_set_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "truth", read("cifar10-jpeg", tmp_path / "given", monkeypatch))
    (tmp_path / "truth" / name).unlink()
    with pytest.raises(StoreCorrupt, match=name):
        Truth.load(tmp_path / "truth")


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read("caltech101", tmp_path / "given", monkeypatch)
    (tmp_path / "given" / found.test[0].id).write_bytes(b"\xff\xd8\xff\xe0 and no more")
    with pytest.raises(ConfigError, match=f"{found.test[0].id} of the data set") as refused:
        written(tmp_path / "truth", found)
    assert refused.value.remedy
    assert not (tmp_path / "truth").exists()


@pytest.mark.parametrize("number", [0, -1])
def test_image_without_its_mask_is_named(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read("camvid", tmp_path / "given", monkeypatch)
    example = found.pool[number]
    side, name = example.id.split("/")
    (tmp_path / "given" / f"{side}annot" / f"{name}.png").unlink()
    with pytest.raises(ConfigError, match=f"{example.id} of the data set.*no mask"):
        written(tmp_path / "truth", found)


@pytest.mark.parametrize("name", ["caltech101", "digits"])
def test_each_seed_draws_its_own_pool_and_test_with_as_many_images_of_each_class(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(name, tmp_path / "given", monkeypatch)
    truth = write(tmp_path / "truth", found, gpu=False, image_size=None, max_pixels=PIXELS, redraw=True)
    draws = [truth.of_seed(seed) for seed in (1, 2)]
    for drawn in draws:
        assert sorted([*drawn.rows.tolist(), *drawn.test.tolist()]) == list(range(len(truth.labels)))
        assert sorted(truth.labels[drawn.rows].tolist()) == sorted(truth.labels[truth.rows].tolist())
        assert drawn.end == len(truth.labels)
    assert set(draws[0].test.tolist()) != set(draws[1].test.tolist())
    assert Truth.load(tmp_path / "truth").of_seed(1).rows.tolist() == draws[0].rows.tolist()


def test_a_data_set_that_is_not_redrawn_is_the_same_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = written(tmp_path / "truth", read("digits", tmp_path / "given", monkeypatch))
    assert truth.of_seed(3).rows.tolist() == list(range(truth.pool))
