"""What is outstanding, as the database counts it."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, event

from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import AnswerKind, Pick, Round
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

LABEL, SKIP = StoredAnswer(AnswerKind.LABEL, "red"), StoredAnswer(AnswerKind.SKIP)


def put(store: Store, project: int, *ids: int) -> None:
    store.connect(project)
    store.put_tasks(project, [{"id": i, "image": f"{i}.png", "problem": ""} for i in ids])


@pytest.fixture
def ten(store: Store) -> Store:
    """Ten tasks of a project, and one of another, which must not count."""
    put(store, 1, *range(1, 11))
    put(store, 2, 1)
    return store


def test_set_aside_tasks_are_not_in_the_pool(ten: Store) -> None:
    ten.set_tasks(1, {"id": [3, 4], "problem": ["damaged", "gone"]})
    assert (ten.task_count(1), ten.pool_count(1), ten.has_pool(1)) == (10, 8, True)
    ten.clear_tasks(1, problem="damaged")
    assert (ten.task_count(1), ten.pool_count(1), ten.has_pool(1)) == (10, 0, False)
    assert ten.has_pool(2)


def test_images_are_to_be_fetched_until_they_are_or_their_next_try_is_due(ten: Store) -> None:
    now = time.time()
    ten.set_tasks(1, {"id": range(1, 9), "row": range(8)})
    ten.set_tasks(1, {"id": [9], "problem": ["gone"], "retry_at": [now + 60]})
    assert ten.to_fetch(1, now) == [(10, "10.png")]
    assert ten.to_fetch(1, now + 60) == [(9, "9.png"), (10, "10.png")]


def test_task_without_an_image_is_not_fetched(ten: Store) -> None:
    ten.put_tasks(1, [{"id": 11, "image": "", "problem": "no image"}])
    assert 11 not in dict(ten.to_fetch(1, time.time()))


def test_fetched_image_without_a_loss_is_unranked_unless_it_is_set_aside(ten: Store) -> None:
    assert not ten.has_unranked(1)
    ten.set_tasks(1, {"id": [1, 2], "row": [0, 1], "loss": [0.5, None]})
    assert (ten.has_unranked(1), ten.fetched_count(1)) == (True, 2)
    ten.set_tasks(1, {"id": [2], "problem": ["damaged"]})
    assert (ten.has_unranked(1), ten.fetched_count(1)) == (False, 1)


def test_pool_is_unanswered_until_all_of_it_has_an_answer(ten: Store) -> None:
    ten.put_answers(1, dict.fromkeys(range(1, 10), LABEL))
    assert ten.has_unanswered(1)
    ten.set_tasks(1, {"id": [10], "problem": ["gone"]})
    assert not ten.has_unanswered(1)


def test_picks_are_waited_for_until_answered_gone_or_set_aside(ten: Store) -> None:
    kinds = [PickKind.CONTROL, *[PickKind.QUERY] * 4, *[PickKind.RESERVE] * 2]
    picks = [
        Pick(project_id=1, round=1, task_id=place + 1, position=place, kind=kind, score=0.1) for place, kind in enumerate(kinds)
    ]
    ten.open_round(1, Round(project_id=1, number=1), picks)
    query = (PickKind.QUERY, PickKind.CONTROL)
    assert (ten.pick_count(1, 1), ten.unanswered_picks(1, 1), ten.unanswered_picks(1, 1, *query)) == (7, 7, 5)
    assert ten.unanswered_picks(1, 1, at_most=3) == 3
    ten.put_answers(1, {1: LABEL, 2: SKIP})
    ten.set_tasks(1, {"id": [3], "problem": ["gone"]})
    ten.drop_tasks(1, [4])
    assert (ten.unanswered_picks(1, 1, *query), ten.unanswered_picks(1, 1, PickKind.RESERVE)) == (1, 2)
    assert ten.unanswered_picks(1, 2) == 0
    assert (ten.has_picks(1, 1, *query), ten.has_picks(1, 2, *query)) == (True, False)


QUESTIONS: dict[str, Callable[[Store], object]] = {
    "tasks_unfetched": lambda store: store.to_fetch(1, 0.0),
    "tasks_unranked": lambda store: store.has_unranked(1),
    "tasks_unanswered": lambda store: store.has_unanswered(1),
    "tasks_left_out": lambda store: (store.pool_count(1), store.set_aside(1)),
    "tasks_altered": lambda store: store.image_notes(1),
}


@pytest.mark.parametrize("index", QUESTIONS)
def test_sqlite_answers_by_an_index_of_what_is_lacking(url: str, store: Store, index: str) -> None:
    """It takes a partial index only for a condition in the same words: with a parameter in it, it would read every task."""
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL chooses by what the tables hold")
    plans: list[str] = []

    def explain(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "FROM tasks" in statement and not statement.startswith("EXPLAIN"):
            driver = cursor.connection.cursor()  # type: ignore[attr-defined]
            plans.extend(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        QUESTIONS[index](store)
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
    assert any(index in plan for plan in plans), plans
