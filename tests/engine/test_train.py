"""What trains and what measures a model, and when a training is resumed."""

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.engine.train import needs_new_learner
from pt4al_backend.measures import PretextQuality
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.paths import frames_path
from pt4al_backend.state.schema import AnswerKind, Pick
from pt4al_backend.state.store import Store
from tests.support.here import Here
from tests.support.images import CLASSES, LABEL_CONFIG
from tests.support.pools import arrows
from tests.support.trainings import answer, idle, learner, rank, ranking_of, ten_tasks, train, training_of


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    yield from ten_tasks(settings)


def digest(store: Store, settings: ServerSettings, config: str = LABEL_CONFIG, **params: Any) -> str:
    one = training_of(store, settings, config, **params)
    return one.digest(one.take_labels())


def test_labels_are_split_into_training_and_control(store: Store, settings: ServerSettings) -> None:
    answer(store, 1, "red")
    answer(store, 2, "green")
    answer(store, 3, "", AnswerKind.SKIP)
    answer(store, 4, "blue", note="1 of 2 annotations is left out, the others count. Submitted with several choices.")
    answer(store, 5, "purple")  # no class of the config (any more)
    answer(store, 6, "red")
    store.set_tasks(1, {"id": [6], "problem": ["not an image"]})
    labels = training_of(store, settings).take_labels()
    assert (labels.train, labels.control) == ({2: "green", 4: "blue"}, {1: "red"})
    counts = store.counts(1)
    assert (counts["labelled"], counts["skipped"], counts["aside"]) == (4, 1, 2)  # 5 has no label that can be learned
    assert [task for task, _ in store.set_aside(1)[1]] == [4, 5, 6]


def test_accepted_predictions_train_unless_the_settings_say_no(store: Store, settings: ServerSettings) -> None:
    answer(store, 2, "green", accepted=True)
    assert training_of(store, settings).take_labels().train == {2: "green"}
    assert training_of(store, settings, train_on_accepted=False).take_labels().train == {}


def test_digest_changes_with_what_a_model_would_learn(store: Store, settings: ServerSettings) -> None:
    answer(store, 2, "green")
    digests = {digest(store, settings) for _ in range(2)}
    assert len(digests) == 1
    answer(store, 1, "red")  # a control pick changes nothing that is learned
    digests.add(digest(store, settings))
    assert len(digests) == 1
    digests.add(digest(store, settings, epochs=3))
    more = LABEL_CONFIG.replace("</Choices>", '<Choice value="black"/></Choices>')
    digests.add(digest(store, settings, more))
    answer(store, 2, "blue")
    digests.add(digest(store, settings))
    assert len(digests) == 4


def test_jobs_want_what_the_strategy_needs(store: Store, settings: ServerSettings) -> None:
    wanted = {}
    for strategy in ("pt4al", "core_set", "typiclust", "badge", "drop_query"):
        for kind, begin in (("rank", rank), ("learn", train)):
            shutil.rmtree(settings.data_dir / "projects", ignore_errors=True)
            wanted[strategy, kind] = begin(store, settings, strategy=strategy).outputs
    assert wanted == {
        ("pt4al", "rank"): (),
        ("pt4al", "learn"): (),
        ("core_set", "rank"): (),
        ("core_set", "learn"): ("features",),
        ("typiclust", "rank"): ("features",),
        ("typiclust", "learn"): ("features",),
        ("badge", "rank"): (),
        ("badge", "learn"): ("features", "posteriors"),
        ("drop_query", "rank"): ("features",),
        ("drop_query", "learn"): ("features", "drop_consistency"),
    }


@pytest.mark.parametrize("name", ["train.npz", "control.npz", "candidates.npy", "candidate_ids.npy", "job.json", "manifest.json"])
@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_training_whose_inputs_are_damaged_is_prepared_again(
    store: Store, settings: ServerSettings, name: str, content: bytes | None
) -> None:
    answer(store, 2, "green")
    train(store, settings)
    folder = settings.data_dir / "projects" / "1" / "learn-1"
    assert training_of(store, settings).is_under_way()
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert not training_of(store, settings).is_under_way()
    answer(store, 3, "red")
    train(store, settings)
    assert artefacts.is_complete(folder)
    assert np.load(folder / "train.npz")["labels"].tolist() == ["green", "red"]


def test_training_that_was_cut_short_ends_before_a_new_learner(store: Store, settings: ServerSettings) -> None:
    learner(store, settings)
    train(store, settings)
    store.change(1, learner_pool=5)
    assert not needs_new_learner(ranking_of(store, settings), training_of(store, settings))
    store.change(1, round=2)
    assert needs_new_learner(ranking_of(store, settings), training_of(store, settings))


def test_other_settings_get_a_new_learner_before_their_training(store: Store, settings: ServerSettings) -> None:
    learner(store, settings)
    train(store, settings)
    assert needs_new_learner(ranking_of(store, settings, pretext="jigsaw"), training_of(store, settings, pretext="jigsaw"))


@pytest.mark.parametrize(
    ("changed", "starts_again"),
    [
        ({}, False),
        ({"show_predictions": False, "query_size": 2, "pretext_epochs": 3}, False),
        ({"strategy": "learning_loss", "companion_steps": 4}, True),
        ({"sampler": "k_center"}, True),
        ({"epochs": 3}, True),
        ({"pretext": "jigsaw"}, True),
    ],
)
def test_training_is_resumed_unless_its_settings_change(
    store: Store, settings: ServerSettings, changed: dict[str, Any], starts_again: bool
) -> None:
    answer(store, 2, "green")
    first = train(store, settings)
    answer(store, 3, "red")
    again = train(store, settings, **changed)
    assert (again.digest != first.digest, again != first) == (starts_again, starts_again)


def test_added_class_starts_a_training_again(store: Store, settings: ServerSettings) -> None:
    more = LABEL_CONFIG.replace("</Choices>", '<Choice value="black"/></Choices>')
    assert train(store, settings).classes == ("red", "green", "blue")
    assert train(store, settings, config=more).classes == ("red", "green", "blue", "black")


@pytest.mark.slow
def test_strategy_set_midway_queries_without_a_model_at_first(store: Store, settings: ServerSettings) -> None:
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(11, 41)])
    ids = np.arange(1, 41)
    store.set_tasks(1, {"id": ids, "row": ids - 1, "loss": np.linspace(9, 1, 40), "batch": np.arange(1, 5).repeat(10)})
    store.change(1, quality=PretextQuality(meaningful=True))
    arrows(frames_path(settings, store.project(1)), 40)  # type: ignore[arg-type]
    given: dict[str, Any] = {"rounds": 4, "query_size": 4, "control_share": 0, "epochs": 2, "width": 8, "first_query": "top_k"}

    def turn(trained_for: str, queried_by: str) -> tuple[list[Pick], StoredOutput]:
        """Answers all picks, trains for a strategy, and opens a round by one."""
        project = store.project(1)
        assert project is not None
        for pick in store.picks(1, project.round):
            answer(store, pick.task_id, CLASSES[(pick.task_id - 1) % len(CLASSES)])
        before = Rounds(store, project, ProjectSettings(strategy=trained_for, **given))
        one = training_of(store, settings, runner=Here(), strategy=trained_for, **given)
        scored, closed = one.train(lambda: before.candidates(project.round + 1), idle, idle)
        Rounds(store, project, ProjectSettings(strategy=queried_by, **given)).open_next(scored, closed)
        return [pick for pick in store.picks(1, project.round) if pick.kind == "query"], scored

    for task in (2, 3):
        answer(store, task, CLASSES[(task - 1) % len(CLASSES)])
    queried, _ = turn("pt4al", "learning_loss")
    assert [pick.task_id for pick in queried] == [4, 5, 6, 7]  # the highest losses, as first_query says
    queried, scored = turn("learning_loss", "learning_loss")
    doubts = scored.confidences["learning_loss"]
    assert [pick.task_id for pick in queried] == scored.ids[np.argsort(doubts)[:4]].tolist()
    assert {pick.label for pick in queried} <= set(CLASSES)
