"""Jobs that train a pretrained encoder: where they start, what they leave, and how much each part of the network learns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pt4al_backend import artefacts
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.work import work
from pt4al_backend.learn import saved
from pt4al_backend.progress import Progress, silent
from tests.support import pools
from tests.support.encoders import ENCODER, weights_dir
from tests.support.pools import ARROWS, TAGGED, Pool

pytestmark = pytest.mark.training

POOL, SIZE = 24, 32
ROWS = np.arange(POOL)
FIRST = "conv_stem.weight"


class Bench:
    """A pool of arrows, and jobs on it that train the encoder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = pools.arrows(folder / "pixels", POOL, SIZE)
        self.weights = weights_dir(folder / "weights")

    @property
    def given(self) -> torch.Tensor:
        """The weights of the first layer in the file."""
        return load_file(self.weights / f"{ENCODER}.safetensors")[FIRST]

    def rank(self, name: str = "rank", **changes: Any) -> Path:
        return self._done(pools.ranking, name, ROWS, **changes)

    def learn(self, name: str = "learn", **changes: Any) -> Path:
        return self._done(pools.training_data, name, ROWS[:12], ROWS[12:], **changes)

    def _done(self, make: Callable[..., Path], name: str, *rows: Any, report: Any = silent, **changes: Any) -> Path:
        settings = {"encoder": ENCODER, "tuning": "full", **changes.pop("settings", {})}
        given = {"pool": ARROWS, "settings": settings, "weights": self.weights, "shape": (SIZE, SIZE), "stored": (SIZE, SIZE)}
        folder = make(self.folder / name, self.store, *rows, **{**given, **changes})
        work(NetworkJob.read(folder), report)
        return folder / "result"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def first_layer(body: Any) -> torch.Tensor:
    return body.net.state_dict()[FIRST]


TINY = {"learning_rate": 1e-7}  # so small that a training ends where it began


def test_both_trainings_start_from_the_weights_of_the_file_and_say_so(bench: Bench) -> None:
    ranked = bench.rank(settings=TINY)
    learned = bench.learn(learner=ranked, settings=TINY)
    for result, body in ((ranked, saved.load_learner(ranked).body), (learned, saved.load_model(learned).task.body)):
        manifest = artefacts.manifest(result)
        assert manifest["init"] == "pretrained"
        assert manifest["weights"]["encoder"] == ENCODER
        torch.testing.assert_close(first_layer(body), bench.given, rtol=1e-3, atol=1e-4)


def test_answers_under_dropout_are_compared_where_a_strategy_wants_it(bench: Bench) -> None:
    with np.load(bench.learn(outputs=["features", "drop_consistency"]) / "candidates.npz") as found:
        same = found["drop_consistency"]
        assert len(same) == len(found["labels"]) > 0
    assert set(np.round(3 * same, 6)) <= {0, 1, 2, 3}


def test_encoder_is_trained_with_the_main_task(bench: Bench) -> None:
    assert not torch.equal(first_layer(saved.load_model(bench.learn()).task.body), bench.given)


@pytest.mark.parametrize(("init", "source"), [("pretext", "pretext"), ("imagenet", "pretrained"), ("fresh", "fresh")])
def test_init_decides_where_the_main_task_starts(bench: Bench, init: str, source: str) -> None:
    settings = {"init": init}
    learned = bench.learn(learner=bench.rank(settings=settings), settings=settings)
    assert artefacts.manifest(learned)["init"] == source


def test_fresh_weights_need_no_file(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    bench.weights = tmp_path
    assert artefacts.manifest(bench.rank(settings={"init": "fresh"}))["init"] == "fresh"
    with pytest.raises(TrainingImpossible, match=r"no weights of the encoder.*PT4AL_WEIGHTS_DIR"):
        bench.rank("other")


@pytest.mark.parametrize("pool", [ARROWS, TAGGED], ids=lambda pool: pool.task)
def test_ranking_and_model_are_whole(bench: Bench, pool: Pool) -> None:
    ranked = bench.rank(pool=pool, outputs=["features"])
    assert np.isfinite(np.load(ranked / "losses.npy")).all()
    assert np.load(ranked / "features.npy").shape == (POOL, 256)
    learned = bench.learn(pool=pool, learner=ranked)
    assert artefacts.manifest(learned)["control"]["total"] == 12
    with np.load(learned / "candidates.npz", allow_pickle=False) as arrays:
        assert len(arrays["labels"]) == 5


@pytest.mark.parametrize("companion", ["learning_loss", "ta_vaal", "core_gcn", "pal", "normalised_confidence"])
def test_companions_work_beside_an_encoder_that_is_trained(bench: Bench, companion: str) -> None:
    learned = bench.learn(companion=companion, query_size=2, settings={"companion_steps": 2})
    with np.load(learned / "candidates.npz", allow_pickle=False) as arrays:
        assert np.isfinite(arrays[companion]).all()


def test_licence_and_file_are_said(bench: Bench) -> None:
    said: list[Progress] = []
    bench.learn(report=said.append)
    assert any(ENCODER in each.note and "licence apache-2.0" in each.note for each in said)
