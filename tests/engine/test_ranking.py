"""When a pretext learner is trained, resumed, replaced and deleted."""

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.state.store import Store
from tests.support.encoders import ENCODER
from tests.support.trainings import Ranks, idle, known, learner, rank, ranking_of, ten_tasks, train


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    yield from ten_tasks(settings)


@pytest.mark.parametrize(("batch_order", "expected"), [("hard_first", [3, 5]), ("easy_first", [1, 3]), ("interleaved", [2, 4])])
def test_late_images_wait_for_later_batches(
    store: Store, settings: ServerSettings, batch_order: str, expected: list[int]
) -> None:
    """Round 2 of 5 is open; of two late images one is the hardest of all, and one the easiest."""
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in (11, 12)])
    store.set_tasks(1, {"id": [11, 12], "row": [10, 11]})
    store.set_tasks(1, {"id": range(1, 11), "loss": np.linspace(9, 1, 10), "batch": np.arange(1, 6).repeat(2)})
    learner = settings.data_dir / "projects" / "1" / "rank-1" / "result"
    with artefacts.writing(learner):
        pass
    store.change(1, round=2, learner="projects/1/rank-1/result", learner_pool=10)

    ranking_of(store, settings, runner=Ranks([99.0, 0.0]), batch_order=batch_order).rank(idle, idle)
    assert store.tasks(1).batches[-2:].tolist() == expected


def test_learner_is_outgrown_by_a_pool_a_fifth_larger(store: Store, settings: ServerSettings) -> None:
    assert not ranking_of(store, settings).is_outgrown()  # there is none yet
    learner(store, settings)
    store.change(1, learner_pool=9)
    assert not ranking_of(store, settings).is_outgrown()
    store.change(1, learner_pool=8)
    assert ranking_of(store, settings).is_outgrown()


def test_damaged_learner_is_trained_again_at_the_round_boundary(store: Store, settings: ServerSettings) -> None:
    folder = learner(store, settings, weights=b"weights")
    assert not ranking_of(store, settings).is_outgrown()
    assert not ranking_of(store, settings).is_learner_gone()
    (folder / "result" / "weights.pt").write_bytes(b"garbage")
    assert ranking_of(store, settings).is_outgrown()
    assert ranking_of(store, settings).is_learner_gone()
    shutil.rmtree(folder)
    assert ranking_of(store, settings).is_outgrown()
    assert ranking_of(store, settings).is_learner_gone()


@pytest.mark.parametrize("name", ["rows.npy", "ids.npy", "job.json"])
def test_ranking_whose_inputs_are_damaged_is_prepared_again(store: Store, settings: ServerSettings, name: str) -> None:
    rank(store, settings)
    folder = settings.data_dir / "projects" / "1" / "rank-1"
    (folder / "checkpoint.pt").touch()
    (folder / name).write_bytes(b"garbage")
    rank(store, settings)
    assert artefacts.is_complete(folder)
    assert not (folder / "checkpoint.pt").exists()


def test_settings_of_another_learner_outgrow_it(store: Store, settings: ServerSettings) -> None:
    learner(store, settings, encoder="resnet18")
    assert not ranking_of(store, settings, encoder="resnet18", epochs=3).is_outgrown()
    assert ranking_of(store, settings, encoder="resnet34").is_outgrown()
    assert ranking_of(store, settings, encoder="resnet18", pretext="jigsaw").is_outgrown()


@pytest.mark.parametrize(("before", "after"), [("resnet18", ENCODER), (ENCODER, "resnet18")])
def test_late_images_are_scored_as_the_learner_was_trained_although_another_encoder_is_set(
    store: Store, settings: ServerSettings, before: str, after: str
) -> None:
    folder = learner(store, settings, encoder=before)
    job = rank(store, settings, encoder=after)
    assert (job.learner, job.settings.encoder) == (folder / "result", before)


def test_learner_stays_for_as_long_as_a_job_names_it(store: Store, settings: ServerSettings) -> None:
    first = learner(store, settings)
    assert train(store, settings).learner == first / "result"
    one = ranking_of(store, settings, runner=Ranks(np.linspace(1, 2, 10).tolist()))
    one.rank(idle, idle, from_scratch=True)
    assert (first / "result").is_dir()
    shutil.rmtree(first.parent / "learn-1")
    one.forget_old_learners()
    assert sorted(path.name for path in first.parent.glob("rank-*")) == ["rank-2"]


@pytest.mark.parametrize(
    ("changed", "starts_again"),
    [({"strategy": "core_set", "epochs": 3}, False), ({"pretext": "jigsaw"}, True), ({"learning_rate": 0.01}, True)],
)
def test_ranking_is_resumed_unless_its_settings_change(
    store: Store, settings: ServerSettings, changed: dict[str, Any], starts_again: bool
) -> None:
    first = rank(store, settings)
    assert (rank(store, settings, **changed) != first) == starts_again


def test_pretext_that_was_taken_back_is_trained_no_further(store: Store, settings: ServerSettings) -> None:
    first = learner(store, settings)
    rank(store, settings, from_scratch=True, pretext="jigsaw")
    assert rank(store, settings).learner == first / "result"  # scores late images with the learner that there is
    assert not (first.parent / "rank-2").exists()


def test_ranking_whose_adoption_was_killed_is_adopted_later(
    store: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    runner = Ranks(np.linspace(2, 1, 10).tolist())
    with monkeypatch.context() as patch:
        patch.setattr(Store, "adopt_ranking", killed)
        with pytest.raises(KeyboardInterrupt):
            ranking_of(store, settings, runner=runner).rank(idle, idle)
    assert ranking_of(store, settings).is_unranked()
    ranking_of(store, settings, runner=runner, rounds=5, query_size=2).rank(idle, idle)
    assert not ranking_of(store, settings).is_unranked()
    pool = store.tasks(1)
    assert pool.losses.tolist() == np.linspace(2, 1, 10).tolist()
    assert pool.batches.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (known(store).learner, known(store).learner_pool) == ("projects/1/rank-1/result", 10)
