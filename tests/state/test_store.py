"""The state, on SQLite and on PostgreSQL alike."""

import threading
import time

import numpy as np
import pytest

from pt4al_backend.measures import ClassMeasured, Control, Measured, PretextQuality
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state import tasks as tasks_module
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import (
    AnswerKind,
    Pick,
    Project,
    ProjectColumns,
    Publication,
    PublicationState,
    Round,
    RoundState,
)
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import Ranking, StoredAnswer

LABEL, SKIP = AnswerKind.LABEL, AnswerKind.SKIP


def tasks(*ids: int) -> list[dict[str, object]]:
    return [{"id": i, "image": f"/data/upload/{i}.png", "problem": ""} for i in ids]


def known(store: Store, project_id: int = 1) -> Project:
    found = store.project(project_id)
    assert found is not None
    return found


def test_connect_twice_keeps_what_was_learned(store: Store) -> None:
    store.connect(7, title="birds", label_config="<View/>")
    store.change(7, learner="projects/7/rank-1/result", round=3)
    store.connect(7, title="more birds", label_config="<View/>")
    project = store.project(7)
    assert project is not None
    assert (project.title, project.learner, project.round) == ("more birds", "projects/7/rank-1/result", 3)


def test_task_with_another_image_forgets_the_old_one_and_keeps_its_answer(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1, 2))
    store.set_tasks(1, {"id": [1, 2], "row": [0, 1], "loss": [0.5, 0.25], "batch": [1, 2]})
    store.put_answers(1, {1: StoredAnswer(LABEL, "cat")})
    store.put_tasks(1, [{"id": 1, "image": "/data/upload/other.png", "problem": ""}])
    pool = store.tasks(1)
    assert pool.rows.tolist() == [-1, 1]
    assert np.isnan(pool.losses[0])
    assert pool.losses[1] == 0.25
    assert pool.labelled.tolist() == [True, False]
    assert store.to_fetch(1, time.time()) == [(1, "/data/upload/other.png")]


def test_deleted_task_does_not_stop_an_update_of_others(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1, 2))
    store.set_tasks(1, {"id": [1, 2, 3], "loss": [0.5, 0.25, 0.125]})
    store.put_answers(1, dict.fromkeys((3, 2), StoredAnswer(SKIP)))
    assert store.tasks(1).losses.tolist() == [0.5, 0.25]
    assert store.tasks(1).answered.tolist() == [False, True]


def test_loss_keeps_all_its_digits(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1))
    loss = 1.0 / 3.0 + 1e-15
    store.set_tasks(1, {"id": [1], "loss": np.array([loss])})
    assert store.tasks(1).losses[0] == loss


def test_task_set_aside_is_fetched_again_only_when_due(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1, 2, 3))
    store.set_tasks(1, {"id": [1, 2], "problem": ["no answer", "not an image"], "retry_at": [100.0, None]})
    assert [i for i, _ in store.to_fetch(1, now=99.0)] == [3]
    assert [i for i, _ in store.to_fetch(1, now=101.0)] == [1, 3]
    assert store.set_aside(1) == (2, [(1, "no answer"), (2, "not an image")])


def test_counts_add_up(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(*range(1, 1201)))
    store.set_tasks(1, {"id": list(range(1, 1001)), "row": list(range(1000))})
    store.put_answers(1, dict.fromkeys((1, 2, 3), StoredAnswer(LABEL)) | {4: StoredAnswer(SKIP)})
    store.set_tasks(
        1,
        {
            "id": [2, 5, 6],
            "answer": [AnswerKind.LABEL, AnswerKind.SKIP, AnswerKind.SKIP],
            "note": ["In part.", "Damaged.", "Damaged."],
        },
    )
    store.set_tasks(1, {"id": [6, 7], "problem": ["not an image", "not an image"]})
    counts = {"tasks": 1200, "pool": 1198, "fetched": 1000, "scored": 0, "labelled": 3, "skipped": 1, "aside": 3}
    assert store.counts(1) == counts
    store.drop_tasks(1, range(1, 1201))
    assert store.counts(1) == dict.fromkeys(counts, 0)


def test_turn_round_closes_the_old_one_and_replaces_a_starting_one(store: Store) -> None:
    def pick(number: int, task: int, kind: PickKind) -> Pick:
        return Pick(project_id=1, round=number, task_id=task, position=task, kind=kind, score=task / 100)

    def round_(number: int, state: RoundState = RoundState.OPEN) -> Round:
        return Round(project_id=1, number=number, state=state)

    store.connect(1)
    store.open_round(1, round_(1, RoundState.STARTING), [pick(1, 1, PickKind.CONTROL), pick(1, 2, PickKind.RESERVE)])
    store.open_round(1, round_(1), [pick(1, 1, PickKind.CONTROL), pick(1, 9, PickKind.QUERY)])
    assert [p.task_id for p in store.picks(1, 1)] == [1, 9]
    store.open_round(1, round_(2), [pick(2, 3, PickKind.CONTROL)], closed=ClosedRound(5, "m"))
    project = store.project(1)
    assert project is not None
    assert (project.round, project.model) == (2, "m")
    assert [(r.number, r.state, r.labels) for r in store.rounds(1)] == [(1, RoundState.CLOSED, 5), (2, RoundState.OPEN, 0)]
    assert store.control_ids(1).tolist() == [1, 3]
    assert store.picks_of(1, 2, [1, 3]).keys() == {3}


def test_history_has_the_last_rounds_without_their_classes(store: Store) -> None:
    store.connect(1)
    exact = Measured(value=0.25, low=0.0, high=1.0)
    control = Control(metric="mAP", total=4, value=0.5, exact_match=exact, classes={"a": ClassMeasured(value=0.5)})
    store.add_closed(1, 1, ClosedRound(labels=5))
    store.add_closed(1, 2, ClosedRound(labels=9, control=control, seconds={"train": 7.5}))
    store.open_round(1, Round(project_id=1, number=3, opened_at=1.0), [])
    found = store.history(1, last=2)
    assert [(each.number, each.state, each.labels, each.seconds) for each in found] == [
        (2, "closed", 9, {"train": 7.5}),
        (3, "open", 0, {}),
    ]
    assert [each.control for each in found] == [control.model_copy(update={"classes": {}}), Control()]


def test_only_one_version_is_live(store: Store) -> None:
    store.connect(1)
    for at, version in enumerate(("a", "b")):
        store.announce(
            Publication(
                project_id=1,
                version=version,
                round=1,
                state=PublicationState.SENDING,
                digest="",
                answered_by="",
                picks=1,
                at=float(at),
            )
        )
        store.go_live(1, version)
    assert [p.version for p in store.publications(1, PublicationState.LIVE)] == ["b"]
    assert [p.version for p in store.publications(1, PublicationState.OLD)] == ["a"]


def test_change_shows_in_the_row_and_in_the_database(store: Store) -> None:
    store.connect(1)
    project = known(store)
    store.change(project, round=3, quality=PretextQuality(meaningful=True))
    assert (project.round, project.quality) == (3, PretextQuality(meaningful=True))
    assert (known(store).round, known(store).quality) == (3, PretextQuality(meaningful=True))


def test_row_is_read_only(store: Store) -> None:
    store.connect(1)
    with pytest.raises(AttributeError, match=r"Store\.change"):
        known(store).round = 3


def test_refresh_reads_the_named_columns_alone(store: Store) -> None:
    store.connect(1, title="birds")
    project = known(store)
    store.request(1, train=True)
    store.change(1, title="cats")
    store.refresh(project, "trainings_requested")
    assert (project.trainings_requested, project.title) == (1, "birds")


def test_every_column_of_a_project_can_be_changed() -> None:
    assert set(ProjectColumns.__annotations__) == {column.name for column in Project.__table__.columns} - {"id", "identity"}


def test_ranking_is_adopted_as_a_whole_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between two of its parts would leave a pool that counts as ranked, without a learner."""
    store.connect(1)
    store.put_tasks(1, tasks(*range(1, 1001)))
    project, ids = known(store), np.arange(1, 1001)
    ranking = Ranking(ids, ids / 7, ids[:900], ids[:900] % 5 + 1, "projects/1/rank-1/result", PretextQuality(meaningful=True))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tasks_module, "change", killed)
        with pytest.raises(KeyboardInterrupt):
            store.adopt_ranking(project, ranking)
    pool = store.tasks(1)
    assert np.isnan(pool.losses).all()
    assert not pool.batches.any()
    assert project.learner == known(store).learner == ""
    store.adopt_ranking(project, ranking)
    pool = store.tasks(1)
    assert pool.losses.tolist() == (ids / 7).tolist()
    assert pool.batches.tolist() == [*(ids[:900] % 5 + 1), *[0] * 100]
    for found in (project, known(store)):
        assert (found.learner, found.learner_pool, found.quality) == (
            "projects/1/rank-1/result",
            1000,
            PretextQuality(meaningful=True),
        )


def test_notices_are_kept_by_topic(store: Store) -> None:
    store.connect(1)
    store.notice(1, "webhook", "There is none.")
    store.notice(1, "schedule", "Too small.")
    store.notice(1, "webhook", "")
    project = store.project(1)
    assert project is not None
    assert project.notices == {"schedule": "Too small."}


def test_reader_does_not_wait_for_writers(store: Store) -> None:
    """The web process reads while the worker writes, and must answer within milliseconds."""
    store.connect(1)
    stop, failures = threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                store.put_tasks(1, tasks(*range(number * 1000, number * 1000 + 500)))
            except Exception as error:
                failures.append(error)
                return

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for number in range(50):
        store.request(1)
        project = store.project(1)
        assert project is not None
        assert project.requests == number + 1
    stop.set()
    for writer in writers:
        writer.join()
    assert not failures
