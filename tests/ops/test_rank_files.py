"""Ranking image files before import: which are found, how tasks address them, and in which order they come."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from pt4al_backend.cli import app
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine import encoder
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.sources import Files
from pt4al_backend.ops import rank_files
from pt4al_backend.ops.rank_files import reader
from pt4al_backend.ops.rank_files.order import order
from pt4al_backend.query.strategies._coverage import Limits
from tests.support.by_number import ByNumber
from tests.support.encoders import ENCODER, weights_dir

SHAPE = (32, 32, 3)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two folders of small images among other files."""
    folder = tmp_path / "lake"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(rng.integers(0, 256, SHAPE, np.uint8)).save(folder / name / f"{number}.png")
    (folder / "a" / "notes.txt").write_text("no image")
    return folder


def names(files: Files) -> list[str]:
    return [files.below(name) for name in files.names]


def test_folder_gives_its_images_and_nothing_else(lake: Path) -> None:
    files = Files.find([str(lake)])
    assert len(files.names) == 24
    assert "a/notes.txt" not in names(files)


def test_file_named_twice_is_found_once(lake: Path) -> None:
    files = Files.find([str(lake / "a" / "3.png"), str(lake / "**" / "3.png"), str(lake / "b" / "*.png")])
    assert sorted(names(files)) == sorted(["a/3.png", *(f"b/{number}.png" for number in range(12))])


def test_argument_that_names_nothing_is_refused(lake: Path) -> None:
    with pytest.raises(ConfigError, match="lakes"):
        Files.find([str(lake), str(lake.parent / "lakes")])
    (lake.parent / "empty").mkdir()
    with pytest.raises(ConfigError, match="No image files"):
        Files.find([str(lake.parent / "empty")])


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("https://images.example/lake", "https://images.example/lake/sub/a%20%26%20b.png"),
        ("https://images.example/lake/", "https://images.example/lake/sub/a%20%26%20b.png"),
        ("/data/local-files/?d=lake/", "/data/local-files/?d=lake/sub/a%20%26%20b.png"),
        ("/data/local-files/?d=", "/data/local-files/?d=sub/a%20%26%20b.png"),
        ("s3://bucket/lake", "s3://bucket/lake/sub/a & b.png"),
        ("", "sub/a%20%26%20b.png"),
    ],
)
def test_address_is_the_prefix_and_the_path_below_the_folder(prefix: str, address: str) -> None:
    files = Files(["/lake/sub/a & b.png"], "/lake")
    assert files.address(files.names[0], prefix) == address


def test_address_without_prefix_is_a_local_file(tmp_path: Path) -> None:
    path = tmp_path / "ä ?#.png"
    query = parse_qs(urlsplit(Files([str(path)], str(tmp_path)).address(str(path))).query)
    assert "/" + query["d"][0] == str(path)


LOSSES = st.lists(st.floats(0, 5), min_size=1, max_size=120).map(lambda values: np.array(values, np.float64))


@given(LOSSES, st.sampled_from(["stratified", "hardest_batch"]), st.sampled_from(["pt4al", "random", "margin"]), st.booleans())
def test_every_image_has_one_place_and_its_rank_by_loss(
    losses: NDArray[np.float64], first_query: Any, strategy: str, meaningful: bool
) -> None:
    places = order(losses, ProjectSettings(first_query=first_query, strategy=strategy), meaningful=meaningful)
    assert sorted(place.index for place in places) == list(range(len(losses)))
    by_rank = sorted(places, key=lambda place: place.rank)
    assert [place.rank for place in by_rank] == list(range(1, len(losses) + 1))
    assert all(losses[a.index] >= losses[b.index] for a, b in pairwise(by_rank))


def test_first_queries_hold_all_degrees_of_hardness() -> None:
    losses = np.random.default_rng(1).permutation(1000) / 100
    places = order(losses, ProjectSettings())
    for queries in range(1, 10):
        taken = [place.rank for place in places if place.query <= queries]
        assert len(taken) == 20 * queries
        thirds = np.histogram(taken, [0.5, 333.5, 666.5, 1000.5])[0]
        assert thirds.max() - thirds.min() <= 0.1 * len(taken)


def test_order_of_the_paper_goes_from_hardest_to_easiest_batch() -> None:
    places = order(np.arange(1000) / 100, ProjectSettings(first_query="hardest_batch", batch_order="hard_first", query_size=100))
    assert [place.batch for place in places] == sorted(place.batch for place in places)
    assert places[0].rank == 1


def test_features_are_covered_first_and_the_rest_follows_by_loss() -> None:
    kinds = np.repeat(np.arange(4), 25)
    places = order(np.arange(100.0), ProjectSettings(encoder=ENCODER), features=np.eye(4, dtype=np.float16)[kinds], most_herded=4)
    assert {int(kinds[place.index]) for place in places[:4]} == {0, 1, 2, 3}
    assert sorted(place.index for place in places) == list(range(100))
    assert places[4].rank == 1
    assert [place.query for place in places] == sorted(place.query for place in places)


def test_no_more_features_than_a_part_are_read_at_a_time() -> None:
    class Read:
        most = 0

        def __len__(self) -> int:
            return 2_000

        def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
            self.most = max(self.most, len(places))
            return np.eye(4, dtype=np.float16)[places % 4]

    features, limits = Read(), Limits(covered=80, candidates=200, part=100, least_picks=5)
    places = order(np.arange(2_000.0), ProjectSettings(encoder=ENCODER), features=features, most_herded=50, limits=limits)
    assert {place.index % 4 for place in places[:4]} == {0, 1, 2, 3}
    assert features.most == 100


def test_large_pool_is_ordered_by_few_queries_which_each_hold_all_degrees_of_hardness() -> None:
    features = np.eye(4, dtype=np.float16)[np.arange(40_000) % 4]
    places = order(np.arange(40_000.0), ProjectSettings(encoder=ENCODER), features=features, most_herded=10)
    assert sorted(place.index for place in places) == list(range(40_000))
    assert places[-1].query <= 210
    thirds = np.histogram([place.rank for place in places if place.query == 2], 3)[0]
    assert thirds.max() - thirds.min() <= 2


@pytest.mark.training
def test_rank_is_on_a_pretrained_encoder_where_its_weights_are_available(
    lake: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "AUTO_ENCODERS", {True: (ENCODER,), False: (ENCODER,)})
    monkeypatch.setenv("PT4AL_WEIGHTS_DIR", str(weights_dir(tmp_path / "weights")))
    for name in ("PT4AL_WIDTH", "PT4AL_ENCODER"):
        monkeypatch.delenv(name)
    result = CliRunner().invoke(app, ["rank", str(lake), "--out", str(tmp_path / "tasks.json")])
    assert result.exit_code == 0, result.output
    assert f"ranked on {ENCODER}" in " ".join(result.stdout.split())
    assert len(json.loads((tmp_path / "tasks.json").read_text())) == 24


def test_meaningless_losses_do_not_change_the_order() -> None:
    rng = np.random.default_rng(2)
    one, other = (
        [place.index for place in order(losses, ProjectSettings(), meaningful=False)]
        for losses in (rng.random(60), rng.random(60))
    )
    assert one == other


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    for name, value in {"DATA_DIR": str(folder), "DEVICE": "cpu", "PRETRAINED": "off", "WIDTH": "8"}.items():
        monkeypatch.setenv(f"PT4AL_{name}", value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_rank_writes_tasks_that_label_studio_can_import(lake: Path, data_dir: Path, tmp_path: Path, task: str) -> None:
    (lake / "a" / "broken.png").write_bytes(b"no image")
    (lake / "c.png").write_bytes((lake / "a" / "3.png").read_bytes())
    to = tmp_path / "tasks.json"
    arguments = ["rank", str(lake), "--out", str(to), "--epochs", "1", "--task", task]
    arguments += ["--field", "photo", "--url-prefix", "https://images.example"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    data = [each["data"] for each in json.loads(to.read_text())]
    assert sorted(each["photo"] for each in data) == sorted(
        f"https://images.example/{folder}/{number}.png" for folder in "ab" for number in range(12)
    )
    by_rank = sorted(data, key=lambda each: each["pt4al_rank"])
    losses = [each["pt4al_loss"] for each in by_rank]
    assert losses == sorted(losses, reverse=True)
    assert "broken.png" in result.stderr
    assert "24 tasks" in result.stdout
    assert "files skipped: 1, left out as identical: 1" in " ".join(result.stdout.split())
    assert list(data_dir.iterdir()) == []


def ranked_by_number(folder: Path, to: Path, settings: ServerSettings, **wanted: Any) -> rank_files.Ranked:
    wanted = {"task": "classification", "prefix": "", **wanted}
    options: dict[str, Any] = {"report": lambda _: None, "runner": ByNumber()}
    targets = rank_files.Targets(to)
    return rank_files.rank(
        [str(folder)], settings, ProjectSettings(pretext_epochs=1), rank_files.Wanted(**wanted), targets, **options
    )


@pytest.mark.parametrize("copies", ["half one picture", "all twice"])
def test_one_of_identical_images_is_taken(lake: Path, tmp_path: Path, settings: ServerSettings, copies: str) -> None:
    for path in [*(lake / "b").glob("*.png")]:
        path.write_bytes((lake / "a" / ("0.png" if copies == "half one picture" else path.name)).read_bytes())
    ranked = ranked_by_number(lake, tmp_path / "tasks.json", settings)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert sorted(each["data"]["image"] for each in tasks) == sorted(f"a/{number}.png" for number in range(12))
    assert len(ranked.copies) == 12
    for path, same in ranked.copies:
        assert Path(path).read_bytes() == Path(same).read_bytes()


def test_unreadable_images_are_refused(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    result = CliRunner().invoke(app, ["rank", str(tmp_path / "x.png"), "--out", str(tmp_path / "tasks.json")])
    assert result.exit_code == 1
    assert "empty" in result.stderr
    assert not (tmp_path / "tasks.json").exists()


def test_full_disk_is_refused_before_any_work(
    lake: Path, tmp_path: Path, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SPARE_BYTES", 10**18)
    with pytest.raises(ConfigError, match="PT4AL_DATA_DIR"):
        ranked_by_number(lake, tmp_path / "tasks.json", settings)


@pytest.mark.parametrize(("to", "reason"), [(".", "is a folder"), ("lake", "is a folder"), ("nowhere/tasks.json", "no folder")])
def test_target_that_cannot_be_written_is_refused_before_any_work(
    lake: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["rank", str(lake), "--out", to])
    assert result.exit_code == 1
    assert reason in result.stderr
    assert "--out" in result.stderr
    assert not data_dir.exists()


@pytest.mark.parametrize("flag", [["--device", "tpu"], ["--first-query", "easiest"], ["--epochs", "0"]])
def test_option_that_is_not_allowed_is_named(flag: list[str], lake: Path, data_dir: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["rank", str(lake), "--out", str(tmp_path / "tasks.json"), *flag])
    assert result.exit_code == 1
    assert flag[1] in result.stderr
    assert "allowed" in result.stderr
    assert flag[0] in result.stderr
    assert "Label Studio" not in result.stderr


def test_strategy_that_the_task_cannot_use_is_refused_before_any_work(
    lake: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PT4AL_STRATEGY", "badge")
    result = CliRunner().invoke(app, ["rank", str(lake), "--out", str(tmp_path / "tasks.json"), "--task", "segmentation"])
    assert result.exit_code == 1
    assert "'strategy': 'badge' needs posteriors of images" in result.stderr
    assert "in the environment" in result.stderr
    assert "Label Studio" not in result.stderr
    assert not data_dir.exists()


def test_link_that_leads_nowhere_is_skipped_by_name(lake: Path, tmp_path: Path, settings: ServerSettings) -> None:
    (lake / "a" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    ranked = ranked_by_number(lake, tmp_path / "tasks.json", settings)
    assert ranked.tasks == 24
    assert [Path(name).name for name, _ in ranked.skipped] == ["lost.png"]
