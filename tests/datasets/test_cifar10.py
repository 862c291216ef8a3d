"""CIFAR-10 and its copies, balanced and not."""

import pickle
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.dataset import Dataset, Example
from pt4al_backend.datasets.imbalanced import imbalanced
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.errors import ConfigError
from tests.support.dataset_trees import CIFAR10, POOL, TEST, cifar10, pack


class Touch:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_changed_files_are_refused_and_never_unpickled(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path, monkeypatch)
    (tmp_path / name).write_bytes(pickle.dumps(Touch(tmp_path / "read")))
    with pytest.raises(ConfigError, match="not those of CIFAR-10") as refused:
        DATASETS.load("cifar10", Loader)().read(tmp_path, None, 10_000)
    assert "cs.toronto.edu" in refused.value.remedy
    assert not (tmp_path / "read").exists()


def test_the_copy_says_that_it_is_lossy_and_keeps_the_names_of_its_files(tmp_path: Path) -> None:
    pack(tmp_path / "cifar10.npz")
    loader = DATASETS.load("cifar10-jpeg", Loader)()
    found = loader.read(tmp_path, None, 10_000)
    assert "lossy" in found.source
    assert "lossy" in loader.about
    assert found.pool[POOL].id == "train/automobile/0000.jpg"
    assert found.test[-1].id == f"test/truck/{POOL + TEST - 1:04}.jpg"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": np.full(10 * (POOL + TEST), 60_000, np.uint16)}, "do not fill"),
        ({"length": np.array([700], np.uint16)}, "different lengths"),
        ({"length": np.full(10 * (POOL + TEST), 7.0)}, "'length' is float64"),
        ({"label": np.full(10 * (POOL + TEST), 10, np.uint8)}, "does not name"),
        ({"split": np.full(10 * (POOL + TEST), 2, np.uint8)}, "does not name"),
        ({"header": np.zeros((4, 4), np.uint8)}, "'header' is uint8"),
        ({"classes": np.arange(10)}, "no names"),
        ({"stem": np.array([Touch(Path("/nowhere"))], object)}, "allow_pickle=False"),
        ({"data": np.zeros(100_000_000, np.uint8)}, "more than 100,000,000 bytes"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_pack_with_another_content_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    pack(tmp_path / "cifar10.npz", **changes)
    with pytest.raises(ConfigError, match=message) as refused:
        DATASETS.load("cifar10-jpeg", Loader)().read(tmp_path, None, 10_000)
    assert "cifar10.npz" in refused.value.message


def test_truncated_pack_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cifar10.npz"
    pack(file)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match="damaged"):
        DATASETS.load("cifar10-jpeg", Loader)().read(tmp_path, None, 10_000)
    with zipfile.ZipFile(file, "w") as empty:
        empty.writestr("header.npy", b"")
    with pytest.raises(ConfigError, match="damaged"):
        DATASETS.load("cifar10-jpeg", Loader)().read(tmp_path, None, 10_000)


def whole(count: int) -> Dataset:
    """As many images of each class, without pixels."""
    pool = [Example(f"{name}/{number}", b"", name) for name in CIFAR10 for number in range(count)]
    return Dataset("classification", CIFAR10, "CIFAR-10", pool, [Example("test", b"", "cat")])


def test_the_imbalanced_pool_has_the_papers_counts_and_is_the_same_each_time() -> None:
    found = imbalanced(whole(5000))
    assert [Counter(each.group for each in found.pool)[name] for name in CIFAR10] == list(range(500, 5001, 500))
    assert [each.id for each in found.pool] == [each.id for each in imbalanced(whole(5000)).pool]
    assert [each.id for each in found.pool[:500]] != [f"airplane/{number}" for number in range(500)]
    assert len(found.test) == 1
    assert "imbalanced" in found.source


def test_part_of_the_imbalanced_pool_is_as_imbalanced() -> None:
    taken = imbalanced(whole(5000)).pool
    part = Dataset("classification", CIFAR10, "", taken, [Example(name, b"", name) for name in CIFAR10]).part(550)
    assert [Counter(each.group for each in part.pool)[name] for name in CIFAR10] == list(range(10, 101, 10))


def test_too_few_images_for_the_imbalanced_pool_are_refused() -> None:
    with pytest.raises(ConfigError, match="1200 images of 'bird'; 1500"):
        imbalanced(whole(1200))
