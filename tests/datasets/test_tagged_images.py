"""Images with a list of classes each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.datasets import shapes
from pt4al_backend.datasets.tagged_images import NAMES, TaggedImages
from pt4al_backend.errors import ConfigError
from pt4al_backend.label_studio.label_config import parse
from tests.support.folders import READER, save


def given(folder: Path, tags: Any, count: int = 8) -> TaggedImages:
    save(folder, count)
    (folder / NAMES).write_text(tags if isinstance(tags, str) else json.dumps(tags))
    return TaggedImages.given(folder, None, READER)


def test_drawn_images_show_something_where_they_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "HARD", 0)
    counts = set()
    for number in range(60):
        picture, shown = shapes.shapes(np.random.default_rng([1, number]))
        ground = np.median(picture, axis=(1, 2), keepdims=True)
        assert bool(shown) == bool((np.abs(picture - ground) > 40).any())
        assert shown == tuple(sorted(set(shown)))
        counts.add(len(shown))
    assert counts == {0, 1, 2, 3}


def test_drawn_images_are_the_same_each_time_and_hold_all_kinds(tmp_path: Path) -> None:
    one, other = (TaggedImages.made(tmp_path / name, READER) for name in ("one", "other"))
    assert one.classes == shapes.CLASSES
    assert [path.name for path in one.pool] == [path.name for path in other.pool]
    assert [path.read_bytes() for path in one.test] == [path.read_bytes() for path in other.test]
    assert {len(json.loads(text)) for text in one.chosen.values()} == {0, 1, 2, 3}


def test_images_that_the_list_does_not_name_are_passed_over(tmp_path: Path) -> None:
    found = given(tmp_path, {f"{k}.png": ["cat"] for k in range(6)} | {"gone.png": ["cat"]})
    assert {path.name for path in [*found.pool, *found.test]} == {f"{k}.png" for k in range(6)}


def test_a_class_that_is_rare_has_images_on_both_sides(tmp_path: Path) -> None:
    tags = {f"{k}.png": ["cat", "lynx"] if k < 2 else ["cat"] for k in range(40)}
    found = given(tmp_path, tags, 40)
    assert [sum("lynx" in found.chosen[path] for path in side) for side in (found.pool, found.test)] == [1, 1]


def test_names_of_any_characters_reach_the_labeling_config(tmp_path: Path) -> None:
    names = ['<"cat" & dog\'s>', "a,b", "ä [1]"]
    found = given(tmp_path, {f"{k}.png": names for k in range(8)})
    assert set(parse(found.label_config()).labels) == set(names)
    assert len(found.regions(found.pool[0])[0]["value"]["choices"]) == 3


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("no json", "cannot be read"),
        ([], "holds no object"),
        ({"0.png": "cat"}, "no list of classes"),
        ({"0.png": ["big  cat"]}, "no list of classes"),
        ({}, "is left for the pool"),
        ({f"{k}.png": [] for k in range(8)}, "names no class"),
        ({"0.png": ["cat"], "1.png": ["dog"], "2.png": ["dog"]}, "'cat' has no image in the test set"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_a_reason(tmp_path: Path, tags: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        given(tmp_path, tags)
    assert message in refused.value.message
    assert refused.value.remedy


def test_a_folder_without_a_list_and_masks_are_refused(tmp_path: Path) -> None:
    save(tmp_path, 4)
    with pytest.raises(ConfigError, match=NAMES) as refused:
        TaggedImages.given(tmp_path, None, READER)
    assert '["cat", "dog"]' in refused.value.remedy
    with pytest.raises(ConfigError, match="no masks"):
        TaggedImages.given(tmp_path, tmp_path, READER)
