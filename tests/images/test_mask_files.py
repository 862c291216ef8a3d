"""Masks in files."""

from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.mask_files import UNLABELLED, Mask, MaskFiles, size_of


def ids(seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).choice(np.array([0, 1, 7, UNLABELLED], np.uint8), (30, 40))


def test_a_mask_comes_back_as_it_was_with_its_scores(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path / "new folder")
    name = masks.put(Mask(ids(), {1: 0.25, 7: 1.0}, ("sky", "road")))
    found = masks.get(name)
    assert found.classes == ("sky", "road")
    assert np.array_equal(found.ids, ids())
    assert found.scores == {1: 0.25, 7: 1.0}
    assert size_of(name) == (40, 30)


def test_the_same_mask_is_the_same_file(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path)
    names = {masks.put(Mask(ids(seed))) for seed in (0, 0, 1)}
    assert len(names) == len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_truncated_mask_is_not_held_and_is_repaired_by_putting_it_again(tmp_path: Path, kept: int) -> None:
    masks = MaskFiles(tmp_path)
    name = masks.put(Mask(ids()))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:kept])
    assert not masks.has(name)
    assert masks.put(Mask(ids())) == name
    assert masks.has(name)
    assert np.array_equal(masks.get(name).ids, ids())


def test_masks_that_are_no_longer_used_are_deleted(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path)
    wanted, other = masks.put(Mask(ids(0))), masks.put(Mask(ids(1)))
    masks.prune([wanted])
    assert np.array_equal(masks.get(wanted).ids, ids(0))
    with pytest.raises(StoreCorrupt, match="missing"):
        masks.get(other)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_damaged_mask_is_reported(tmp_path: Path, content: bytes | None) -> None:
    masks = MaskFiles(tmp_path)
    name = masks.put(Mask(ids()))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    with pytest.raises(StoreCorrupt, match="read again"):
        masks.get(name)


def test_mask_under_another_name_is_reported(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path)
    name = masks.put(Mask(ids()))
    other = masks.put(Mask(ids()[:20]))
    (tmp_path / f"{other}.png").replace(tmp_path / f"{name}.png")
    with pytest.raises(StoreCorrupt):
        masks.get(name)


def test_damaged_masks_are_forgotten(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path)
    whole, altered = (masks.put(Mask(np.full((4, 5), k, np.uint8))) for k in range(2))
    path = tmp_path / f"{altered}.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    masks.forget_damaged()
    assert (masks.has(whole), masks.has(altered)) == (True, False)
