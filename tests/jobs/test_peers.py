"""Several processes that share a job, as torchrun starts them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from pt4al_backend import artefacts
from pt4al_backend.jobs.run import LocalRunner
from pt4al_backend.progress import Progress
from tests.support import pools, shared_training
from tests.support.encoders import ENCODER, weights_dir
from tests.support.here import Here

pytestmark = pytest.mark.slow

LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
ROWS = np.arange(23)  # which two cannot share equally
SIZE = 32


def nothing(*_: object) -> None:
    return None


def second_peer(folder: Path) -> psutil.Process:
    """The second process that works on a job."""
    processes = [
        one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[-2:-1] == ["pt4al_backend.jobs.child"]
    ]
    (found,) = (one for one in processes if one.info["cmdline"][-1] == str(folder) and one.environ().get("RANK") == "1")
    return found


@pytest.mark.parametrize("images", [39, 3], ids=["shared", "too few for two"])
def test_two_peers_learn_what_one_process_learns(tmp_path: Path, images: int) -> None:
    """Where nothing is drawn at random and nothing depends on the rest of a minibatch, but for rounding."""
    alone, together = tmp_path / "alone.pt", tmp_path / "together.pt"
    shared_training.train(alone, images)
    command = [*LAUNCHER, sys.executable, "-m", "tests.support.shared_training", str(together), str(images)]
    subprocess.run(command, check=True, timeout=240)
    found, (expected,) = torch.load(together), torch.load(alone)
    for weights in found:
        torch.testing.assert_close(weights, expected)
    assert len(found) == 2


def test_two_peers_choose_by_a_second_network_with_fewer_labels_than_they_could_share(tmp_path: Path) -> None:
    store = pools.arrows(tmp_path / "pixels", len(ROWS))
    settings = {"epochs": 1, "strategy": "pal"}
    few = {"settings": settings, "companion": "pal", "query_size": 4}
    folder = pools.training_data(tmp_path / "job", store, ROWS[:3], ROWS[18:], **few)
    found = np.load(LocalRunner(LAUNCHER).run(folder, nothing, nothing) / "candidates.npz")["pal"]
    assert sorted(found) == pytest.approx(np.arange(5) / 5)


def test_two_peers_describe_and_rank_as_one_process_does(tmp_path: Path) -> None:
    losses, features = [], []
    for name, runner in (("alone", Here()), ("together", LocalRunner(LAUNCHER))):
        store = pools.arrows(tmp_path / name / "pixels", len(ROWS), SIZE)
        given = {"weights": weights_dir(tmp_path / name / "weights"), "shape": (SIZE, SIZE), "stored": (SIZE, SIZE)}
        settings = {"encoder": ENCODER, "tuning": "head"}
        folder = pools.ranking(tmp_path / name / "rank", store, ROWS, settings=settings, outputs=("features",), **given)
        result = runner.run(folder, nothing, nothing)
        losses.append(np.load(result / "losses.npy"))
        features.append(np.load(result / "features.npy"))
    np.testing.assert_allclose(features[1], features[0], atol=0.01)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.01)


def test_training_goes_on_after_a_peer_was_killed_and_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    store, results, killed = pools.arrows(tmp_path / "pixels", len(ROWS)), [], list[int]()

    def kill(progress: Progress) -> None:
        if progress.epoch >= 3 and not killed:
            process = second_peer(tmp_path / "broken")
            killed.append(process.pid)
            process.kill()

    for name, report in (("whole", nothing), ("broken", kill)):
        folder = pools.training_data(tmp_path / name, store, ROWS[:18], ROWS[18:], settings={"epochs": 40})
        results.append(LocalRunner(LAUNCHER).run(folder, report, nothing))
        assert not list(folder.glob("share-*"))
    assert killed
    whole, broken = (torch.load(result / artefacts.WEIGHTS, weights_only=True) for result in results)
    for name, expected in whole.items():
        torch.testing.assert_close(broken[name], expected)
