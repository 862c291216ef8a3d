"""``pt4al bench loss-rank``: the losses of test images by two networks that never saw them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner, Result

from pt4al_backend import artefacts, cli
from pt4al_backend.bench import hardware, job_folders, loss_rank, supervised
from pt4al_backend.bench.loss_rank import FILE, Line
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn import saved
from pt4al_backend.learn.devices import autocast
from pt4al_backend.ops import terminal
from tests.support import runs
from tests.support.dataset_trees import TREES
from tests.support.pools import ARROWS, SCENES, Pool

pytestmark = pytest.mark.training

IMAGES, TEST = 60, 20
FAST = '{"pretext_epochs": 1, "epochs": 1, "width": 8, "image_size": 16}'


def truth_of(pool: Pool, folder: Path) -> Truth:
    rows = np.arange(IMAGES)
    store, masks = pool.store(folder / "pixels", IMAGES), folder / "masks"
    labels = pool.labels(masks, rows)
    truth = Truth(pool.task, pool.classes, store, pool.shape, pool.shape, labels, IMAGES - TEST, masks)
    return replace(truth, ids=rows.astype(np.str_))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[Line]]:
    truth = truth_of(ARROWS, tmp_path)

    def made(*options: dict[str, Any]) -> list[Line]:
        given = (project_settings({"width": 8, "epochs": 2, "pretext_epochs": 2, "init": "fresh", **each}) for each in options)
        return list(loss_rank.run(tmp_path, truth, given, tmp_path, "cpu"))

    return made


def test_both_losses_are_of_test_images_that_neither_network_was_trained_on(
    run: Callable[..., list[Line]], tmp_path: Path
) -> None:
    (line,) = run({"pretext_holdout": 0.0})
    (ranking,), (supervised,) = tmp_path.glob("ranking-rotation-*"), tmp_path.glob("supervised-*")
    with np.load(supervised / "train.npz") as trained, np.load(tmp_path / "loss_rank" / "rotation-seed-0.npz") as found:
        pool = np.arange(IMAGES - TEST).tolist()
        assert trained["rows"].tolist() == np.load(ranking / "rows.npy").tolist() == pool
        ids, labels, main, pretext = (found[name] for name in ("ids", "labels", "main", "pretext"))
    assert ids.tolist() == [str(row) for row in range(IMAGES - TEST, IMAGES)]
    with FrameFile(tmp_path / "pixels", ARROWS.shape) as pixels:
        images = torch.from_numpy(pixels.read(np.arange(IMAGES - TEST, IMAGES))).permute(0, 3, 1, 2)
    task, learner = saved.load_model(supervised / "result").task, saved.load_learner(ranking / "result")
    targets = torch.tensor([ARROWS.classes.index(label) for label in labels])
    with torch.inference_mode(), autocast(torch.device("cpu")):
        logits = task.model.eval()(images).double()
        learner.model.eval()
        assert main == pytest.approx(F.cross_entropy(logits, targets, reduction="none").numpy(), rel=0.02)
        assert pretext == pytest.approx(learner.scores(images)[:, 0].numpy(), rel=0.02)
    assert line.accuracy == (logits.argmax(1) == targets).double().mean()
    assert line.n == TEST
    assert line.rho is not None


def test_the_networks_start_from_different_weights(run: Callable[..., list[Line]], tmp_path: Path) -> None:
    run({})
    seeds = [artefacts.manifest(each / "result")["settings"]["seed"] for each in tmp_path.glob("[!.]*-seed-*")]
    assert len(set(seeds)) == 2


def test_finished_lines_are_not_run_again(
    run: Callable[..., list[Line]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run({"seed": 1})
    assert [(line.pretext, line.seed) for line in run({"seed": 1}, {"seed": 1, "pretext": "jigsaw"})] == [
        ("rotation", 1),
        ("jigsaw", 1),
    ]
    assert len(list(tmp_path.glob("supervised-*"))) == 1
    monkeypatch.setattr(job_folders, "work", None)
    assert run({"seed": 1}) == first


def test_a_line_that_was_cut_short_is_made_again_and_harms_no_other(run: Callable[..., list[Line]], tmp_path: Path) -> None:
    first, second = run({}, {"pretext": "jigsaw"})
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-20])
    assert loss_rank.read(tmp_path) == ([first], {})
    assert run({}, {"pretext": "jigsaw"}) == [first, second]
    assert loss_rank.read(tmp_path) == ([second, first], {tmp_path / FILE: 1})


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("harm", [Path.unlink, _cut_short])
def test_a_line_whose_losses_are_gone_or_cut_short_is_made_again(
    run: Callable[..., list[Line]], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    first, second = run({}, {"pretext": "jigsaw"})
    arrays = tmp_path / "loss_rank" / "rotation-seed-0.npz"
    whole = arrays.read_bytes()
    harm(arrays)
    assert loss_rank.read(tmp_path) == ([second], {})
    assert run({}, {"pretext": "jigsaw"}) == [first, second]
    assert len(arrays.read_bytes()) == len(whole)
    assert loss_rank.read(tmp_path) == ([second, first], {})


def test_lines_of_other_settings_are_refused_with_the_difference(run: Callable[..., list[Line]]) -> None:
    run({})
    with pytest.raises(ConfigError, match=r"loss_rank.jsonl.* epochs 2 and not 3"):
        run({"seed": 1, "epochs": 3})


def test_segmentation_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    truth = truth_of(SCENES, tmp_path)
    with pytest.raises(ConfigError, match="one class each"):
        next(loss_rank.run(tmp_path, truth, [project_settings(SCENES.settings)], tmp_path, "cpu"))


def test_a_sure_network_gives_small_losses_that_differ() -> None:
    logits = np.array([[0.0, 0, 0], [50, 0, 0], [60, 0, 0], [0, 800, 0]])
    losses, accuracy = supervised.losses(logits, np.array(["a"] * 4), ("a", "b", "c"))
    assert losses == pytest.approx([np.log(3), 2 * np.exp(-50.0), 2 * np.exp(-60.0), 800], rel=1e-9)
    assert accuracy == 0.75


# the command


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(terminal.err, "width", 250)
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    return tmp_path / "given"


def bench(data: Path, *arguments: object, settings: str = FAST) -> Result:
    chosen = ["--dataset", "cifar10-jpeg", "--data", data, "--pool", 40, "--test", 20, "--preset", "quick", "--device", "cpu"]
    given = ["bench", "loss-rank", data.parent / "to", *chosen, "--settings", settings, *arguments]
    return CliRunner().invoke(cli.app, [*map(str, given)])


def test_the_report_has_a_row_and_a_panel_for_each_seed(data: Path) -> None:
    done = bench(data, "--seeds", 2)
    assert done.exit_code == 0, done.output
    report = data.parent / "to" / "report"
    text = runs.unpadded((report / "loss-rank.md").read_text())
    seeds = [row.split(" | ")[1] for row in text.splitlines() if row.startswith("| rotation")]
    assert seeds == ["0", "1", "*mean ± sd*"]
    assert "(loss-rank-rotation.png)" in text
    assert f"Trained on cpu ({hardware.processor()}), with pt4al-backend" in text
    assert (report / "loss-rank-rotation.png").read_bytes().startswith(b"\x89PNG")
    words = "\n".join(ElementTree.parse(report / "loss-rank-rotation.svg").getroot().itertext())
    lines, _ = loss_rank.read(data.parent / "to")
    for line in lines:
        assert f"seed {line.seed}: ρ = {line.rho:.2f} ({line.low:.2f} to {line.high:.2f})" in words
    assert "rank of the pretext loss" in words


def test_corrupt_lines_are_reported_and_counted(data: Path) -> None:
    assert bench(data, "--seeds", 1).exit_code == 0
    with (data.parent / "to" / FILE).open("a") as file:
        file.write("{\n[]\n")
    warning = "Corrupt lines, left out: 2, in loss_rank.jsonl (2)."
    assert warning in bench(data, "--seeds", 1, "--no-figures").output
    assert warning in (data.parent / "to" / "report" / "loss-rank.md").read_text()


def test_segmentation_data_set_is_refused_before_decoding(data: Path) -> None:
    refused = bench(data, "--dataset", "camvid", "--no-figures")
    assert refused.exit_code == 1
    assert "The data set 'camvid' is one of segmentation" in refused.stderr
    assert not (data.parent / "to").exists()


@pytest.mark.parametrize(("setting", "reason"), [('"init": "pretext"', "must not share"), ('"pretext": "jigsaw"', "--pretext")])
def test_settings_that_are_not_to_be_chosen_are_refused(data: Path, setting: str, reason: str) -> None:
    refused = bench(data, settings=f"{{{setting}}}")
    assert refused.exit_code == 1
    assert reason in refused.stderr
