"""The job that compares a head with training the encoder too, on images that neither has learned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.jobs import compare
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.progress import silent
from tests.support import pools
from tests.support.encoders import ENCODER, weights_dir
from tests.support.pools import ARROWS, TAGGED, Pool

pytestmark = pytest.mark.training

POOL, SIZE = 36, 32
ROWS = np.arange(POOL)


class Bench:
    """A ranked pool of arrows, and comparisons on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = pools.arrows(folder / "pixels", POOL, SIZE)
        settings = {"encoder": ENCODER}
        weights = weights_dir(folder / "weights")
        self.given: dict[str, Any] = {"settings": settings, "weights": weights, "shape": (SIZE, SIZE), "stored": (SIZE, SIZE)}
        ranked = pools.ranking(folder / "rank", self.store, ROWS, outputs=["features"], **self.given)
        self._work(ranked)
        self.given["learner"] = ranked / "result"

    def prepare(self, rows: Any = ROWS, pool: Pool = ARROWS, labels: Any = None) -> Path:
        train = pools.labelled(self.store, rows, pool)
        if labels is not None:
            train["labels"] = labels
        return pools.job(self.folder / "compare", JobKind.COMPARE, self.store, {"train": train, "rows": ROWS}, pool, **self.given)

    def compare(self, folder: Path) -> Any:
        self._work(folder)
        return artefacts.manifest(folder / "result")

    @staticmethod
    def _work(folder: Path) -> None:
        work(NetworkJob.read(folder), silent)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("pool", [ARROWS, TAGGED], ids=lambda pool: pool.task)
def test_both_answer_every_labelled_image(bench: Bench, pool: Pool) -> None:
    found = bench.compare(bench.prepare(pool=pool))
    assert found["images"] == POOL
    assert 0 <= found["head"] <= 1
    assert 0 <= found["full"] <= 1


def test_part_that_was_done_before_a_kill_is_not_done_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bench.prepare()
    trained: list[int] = []
    answered = compare._answered_by_network

    def killed(job: Any, material: Any, number: int, *rest: Any) -> Any:
        trained.append(number)
        if trained == [0, 1]:
            raise KeyboardInterrupt
        return answered(job, material, number, *rest)

    monkeypatch.setattr(compare, "_answered_by_network", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.compare(folder)
    assert bench.compare(folder)["images"] == POOL
    assert trained == [0, 1, 1, 2]


def test_class_with_one_label_leaves_out_the_part_that_cannot_be_learned_without_it(bench: Bench) -> None:
    labels = np.array([ARROWS.classes[0]] * POOL, dtype=object)
    labels[0] = ARROWS.classes[1]
    assert bench.compare(bench.prepare(labels=labels.astype(np.str_)))["images"] == POOL * 2 // 3


@pytest.mark.parametrize("pool", [ARROWS, TAGGED], ids=lambda pool: pool.task)
def test_network_that_is_too_sure_gets_a_temperature_above_one(bench: Bench, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_sure(job: Any, _material: Any, _number: int, held: Any, _report: Any) -> Any:
        return np.where((np.arange(held.sum())[:, None] + np.arange(len(job.spec.classes))) % 2, 30.0, -30.0)

    monkeypatch.setattr(compare, "_answered_by_network", too_sure)
    assert bench.compare(bench.prepare(pool=pool))["temperature"] > 1
