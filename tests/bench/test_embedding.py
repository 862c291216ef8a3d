"""``pt4al bench t-sne``: the queries of finished runs on a map of their pool."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pt4al_backend import cli
from pt4al_backend.bench import embedding, job_folders, truth
from pt4al_backend.bench.records import read
from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.ops import terminal
from tests.support import runs
from tests.support.dataset_trees import TREES

pytestmark = pytest.mark.training

POOL = 40
SETTINGS = {"epochs": 1, "width": 8, "init": "fresh", "preset": "paper"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two arms of three rounds and five, on a pool of forty images; round i asked four rows from 4 i on."""
    monkeypatch.setattr(terminal.err, "width", 250)
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    found = DATASETS.load("cifar10-jpeg", Loader)().read(tmp_path / "given", None, 10**6).part(POOL, 20)
    truth.write(tmp_path / "data", found, gpu=False, image_size=16, max_pixels=10**6)
    for arm, count in (("random", 3), ("<PT4AL>", 5)):
        wrote(tmp_path, arm, count)
    return tmp_path


def wrote(folder: Path, arm: str, count: int, **more: Any) -> None:
    rounds = [
        runs.record(0, i, 4 * i, 0.5, **{"query": list(range(4 * i, 4 * i + 4)), "settings": SETTINGS, **more})
        for i in range(1, count + 1)
    ]
    runs.write_rounds(folder, arm, 0, rounds)


def t_sne(folder: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["bench", "t-sne", *map(str, (folder, "--device", "cpu", *arguments))])


def refusal(folder: Path, *arguments: object) -> str:
    refused = t_sne(folder, *arguments)
    assert refused.exit_code == 1, refused.output
    return refused.stderr


def test_first_middle_and_last_of_the_rounds_that_all_arms_have_are_shown(folder: Path) -> None:
    done = t_sne(folder)
    assert done.exit_code == 0, done.output
    text = runs.unpadded((folder / "report" / "t-sne.md").read_text())
    assert "| arm | round 1 | round 2 | round 3 |" in text
    assert "| <PT4AL> | 4 of 4 | 4 of 4 | 4 of 4 |" in text
    assert (folder / "report" / "t-sne.png").read_bytes().startswith(b"\x89PNG")
    words = {each.strip() for each in ElementTree.parse(folder / "report" / "t-sne.svg").getroot().itertext()}
    assert {"random", "<PT4AL>", "round 1", "round 2", "round 3"} <= words


def test_of_five_rounds_the_third_is_in_the_middle(folder: Path) -> None:
    queries = embedding.compared_queries({"<PT4AL>": read(folder).arms["<PT4AL>"]})["<PT4AL>"]
    assert {number: query.tolist() for number, query in queries.items()} == {
        1: [4, 5, 6, 7],
        3: [12, 13, 14, 15],
        5: [20, 21, 22, 23],
    }


def test_a_part_of_the_pool_is_of_all_classes_and_the_queries_are_thinned_alike(folder: Path) -> None:
    found = embedding.draw(folder, folder, ["random"], 0, 10, "cpu")
    labels = truth.Truth.load(folder / "data").labels[found.rows]
    assert len(set(labels.tolist())) == len(found.rows) == len(found.places) == 10
    (query,) = (rounds[1] for rounds in found.queries.values())
    inside = len(set(query.tolist()) & set(found.rows.tolist()))
    assert f"| random | {inside} of 4 |" in runs.unpadded(found.section().markdown(drawn=False))


def test_the_network_is_trained_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embedding.draw(folder, folder, [], 0, 100, "cpu")
    monkeypatch.setattr(job_folders, "work", None)
    again = embedding.draw(folder, folder, [], 0, 100, "cpu")
    assert again.places == pytest.approx(first.places)


def test_images_that_are_alike_lie_side_by_side() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 40)
    places = embedding.places((20.0 * groups[:, None] + rng.normal(size=(80, 8))).astype(np.float32), 0)
    centres = np.stack([places[groups == each].mean(0) for each in (0, 1)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(1)
    assert nearest.tolist() == groups.tolist()


def test_arms_and_seeds_that_are_not_there_are_refused_with_those_that_are(folder: Path) -> None:
    assert "no finished rounds of margin with seed 0. Arms that have some: <PT4AL>, random" in refusal(folder, "--arm", "margin")
    assert "no finished rounds of any arm with seed 7" in refusal(folder, "--seed", 7)


def test_more_arms_than_panels_are_refused(folder: Path) -> None:
    for number in range(3):
        wrote(folder, f"arm {number}", 1)
    assert "5 arms are more than there are panels. Name up to 4" in refusal(folder)


def test_runs_of_another_data_set_are_left_out(folder: Path) -> None:
    wrote(folder, "stray", 1, query=[0, 1, 2, POOL])
    warning = "Corrupt lines, left out: 1, in arms/stray/seed-0/rounds.jsonl (1)."
    assert warning in t_sne(folder).output
    text = runs.unpadded((folder / "report" / "t-sne.md").read_text())
    assert warning in text
    assert "| stray |" not in text


def test_a_round_that_one_arm_has_lost_is_shown_of_none(folder: Path) -> None:
    path = folder / "arms" / "random" / "seed-0" / "rounds.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["garbage", *lines[1:], ""]))
    assert t_sne(folder).exit_code == 0
    assert "| arm | round 2 | round 3 |" in runs.unpadded((folder / "report" / "t-sne.md").read_text())


def test_arms_without_a_round_in_common_are_refused(folder: Path) -> None:
    path = folder / "arms" / "random" / "seed-0" / "rounds.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    other = folder / "arms" / "<PT4AL>" / "seed-0" / "rounds.jsonl"
    other.write_text("".join(f"{line}\n" for line in ["garbage", *other.read_text().splitlines()[1:]]))
    assert "No round is finished in all of " in refusal(folder)
