"""The drawn scenes: the same each time, with masks that fit them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pt4al_backend.datasets import scenes

COUNT = 60


def masks(folder: Path) -> list[Any]:
    return [np.asarray(Image.open(path)) for path in sorted((folder / "masks").glob("*.png"))]


def test_scenes_are_the_same_each_time(tmp_path: Path) -> None:
    written = []
    for root in (tmp_path / "one", tmp_path / "two"):
        scenes.write(root / "images", root / "masks", 5)
        written.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")})
    assert written[0] == written[1]
    assert len(set(written[0].values())) == 11


def test_every_class_is_there_and_some_are_rare(tmp_path: Path) -> None:
    scenes.write(tmp_path / "images", tmp_path / "masks", COUNT)
    assert (tmp_path / "masks" / "classes.txt").read_text().split() == list(scenes.CLASSES)
    found = masks(tmp_path)
    share = {name: np.mean([(ids == number).any() for ids in found]) for number, name in enumerate(scenes.CLASSES)}
    assert share["sky"] == share["meadow"] == 1
    assert 0.1 < share["car"] < 0.5
    assert all(share[name] > 0.5 for name in ("road", "house", "tree"))


def test_scenes_have_an_upright_orientation(tmp_path: Path) -> None:
    scenes.write(tmp_path / "images", tmp_path / "masks", COUNT)
    for ids in masks(tmp_path):
        assert (ids[0] == scenes.CLASSES.index("sky")).mean() > 0.5
        assert not (ids[-1] == scenes.CLASSES.index("sky")).any()
