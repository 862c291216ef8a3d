"""What people want of a project, and the queue as they look at it."""

import pytest

from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.queue import QueueFilter, QueueGroup
from pt4al_backend.state.schema import ActionKind, AnswerKind, Pick, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer


@pytest.fixture
def ten(store: Store) -> Store:
    """Project 1 with ten tasks in two batches; tasks 1 to 6 are the picks of its open round, 1 a control pick."""
    store.connect(1)
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(1, 11)])
    store.set_tasks(1, {"id": list(range(1, 11)), "batch": [1 + i % 2 for i in range(1, 11)], "row": list(range(10))})
    kinds = [PickKind.CONTROL, *[PickKind.QUERY] * 5]
    picks = [
        Pick(
            project_id=1, round=1, task_id=i, position=i, kind=kind, score=i / 10, label="cat" if i < 4 else "dog", confidence=0.5
        )
        for i, kind in enumerate(kinds, 1)
    ]
    store.open_round(1, Round(project_id=1, number=1, state=RoundState.OPEN), picks)
    return store


def test_newest_choices_come_first_and_those_that_are_answered_not_at_all(ten: Store) -> None:
    ten.choose(1, [5, 3, 8], "ann")
    ten.choose(1, [9, 3], "bob")
    assert ten.choices(1).tolist() == [9, 3, 5, 8]
    ten.put_answers(1, {9: StoredAnswer(AnswerKind.LABEL, "cat")})
    ten.set_tasks(1, {"id": [5], "problem": ["Gone."]})
    assert ten.choices(1).tolist() == [3, 8]
    ten.put_answers(1, {9: StoredAnswer(AnswerKind.NONE)})
    assert ten.choices(1).tolist() == [9, 3, 8]
    ten.drop_tasks(1, [3])
    ten.put_tasks(1, [{"id": 3, "image": "another.png", "problem": ""}])
    assert ten.choices(1).tolist() == [9, 8]
    project = ten.project(1)
    assert project is not None
    assert (project.choices_requested, project.choices_handled) == (2, 0)


def test_tasks_that_cannot_be_labelled_are_told_with_their_reasons(ten: Store) -> None:
    ten.put_answers(1, {1: StoredAnswer(AnswerKind.LABEL, "cat"), 2: StoredAnswer(AnswerKind.SKIP)})
    ten.set_tasks(1, {"id": [3], "problem": ["Gone."]})
    found = ten.not_to_label(1, range(1, 1200))
    assert len(found) == 3 + 1189
    assert {i: found[i] for i in (1, 2, 3, 11)} == {
        1: "it is labelled",
        2: "it was skipped",
        3: "it is set aside",
        11: "there is no such task",
    }


def test_log_has_what_people_did_the_newest_first_and_goes_with_the_project(ten: Store) -> None:
    ten.act(1, "ann", ActionKind.PAUSE, columns={"paused_at": 5.0})
    ten.want_controls(1, 1, 4, "bob")
    ten.want_controls(1, 1, 3, "ann")
    ten.choose(1, list(range(1, 31)), "bob")
    found = ten.actions(1, 3)
    assert [(each.who, each.what) for each in found] == [
        ("bob", "label next"),
        ("ann", "add control picks"),
        ("bob", "add control picks"),
    ]
    assert found[0].detail.endswith("19, 20, …")
    project, current = ten.project(1), ten.round(1, 1)
    assert project is not None
    assert current is not None
    assert (project.paused_at, current.controls_wanted) == (5.0, 4)
    ten.forget(ten.project(1))
    assert ten.actions(1, 9) == []


def test_queue_is_read_in_parts_without_the_answers_to_control_picks(ten: Store) -> None:
    part = ten.queue_part(1, 1, QueueFilter(), 0, 3)
    assert [each.task for each in part] == [1, 2, 3]
    assert [(each.predicted, each.confidence) for each in part] == [("", None), ("cat", 0.5), ("cat", 0.5)]
    assert [each.task for each in ten.queue_part(1, 1, QueueFilter(), 3, 9)] == [4, 5, 6]
    assert [each.task for each in ten.queue_part(1, 1, QueueFilter(2, "dog"), 0, 9)] == [5]
    counts = ten.queue_counts(1, 1)
    assert counts == {
        QueueGroup(2, ""): 1,
        QueueGroup(1, "cat"): 1,
        QueueGroup(2, "cat"): 1,
        QueueGroup(1, "dog"): 2,
        QueueGroup(2, "dog"): 1,
    }
    assert sum(count for group, count in counts.items() if QueueFilter(predicted="dog").admits(group)) == 3
