"""What the demo knows of images, whatever their main task, and what annotators make of it."""

from pathlib import Path

import pytest

from pt4al_backend.errors import ConfigError
from pt4al_backend.images.mask_files import MaskFiles
from tests.support.folders import KINDS, READER, label_of, of_task


@pytest.mark.parametrize("task", KINDS)
def test_the_backend_reads_what_an_annotator_submits_as_the_known_answer(tmp_path: Path, task: str) -> None:
    images = of_task(task, tmp_path / "images")
    assert (images.config.task, images.config.labels) == (task, images.classes)
    masks = MaskFiles(tmp_path / "drawn")
    for path in images.pool:
        assert [label_of(images, images.regions(path), masks)] == images.labels([path], masks)
        assert set(images.words(path).split(", ")) <= {*images.classes, "none of them"}


@pytest.mark.parametrize("task", KINDS)
def test_digits_have_a_pool_and_a_test_set(tmp_path: Path, task: str) -> None:
    images = KINDS[task].made(tmp_path, READER)
    assert not images.unreadable
    assert not set(images.pool) & set(images.test)
    assert len(images.test) / len(images.pool + images.test) == pytest.approx(0.25, abs=0.01)
    assert len(images.sizes) == len(images.pool)


@pytest.mark.parametrize("task", KINDS)
def test_pool_order_is_shuffled_and_reproducible(tmp_path: Path, task: str) -> None:
    pools = [of_task(task, tmp_path, count=40).pool for _ in range(2)]
    assert pools[0] == pools[1] != sorted(pools[0])


@pytest.mark.parametrize("task", KINDS)
def test_images_that_cannot_be_decoded_are_left_out_with_a_reason(tmp_path: Path, task: str) -> None:
    whole = of_task(task, tmp_path)
    whole.pool[0].write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (whole.pool[1].parent / "notes.txt").write_text("not an image, and not meant to be one")
    found = of_task(task, tmp_path, count=0)
    assert list(found.unreadable) == [whole.pool[0]]
    assert found.unreadable[whole.pool[0]]
    assert len(found.pool) + len(found.test) == 11


@pytest.mark.parametrize("task", KINDS)
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, task: str) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(ConfigError, match="nowhere") as refused:
        KINDS[task].given(tmp_path / "nowhere", tmp_path / "masks" if task == "segmentation" else None, READER)
    assert refused.value.remedy
