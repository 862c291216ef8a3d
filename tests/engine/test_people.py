"""What people want of the open round, on a state without Label Studio: tasks served next, control picks, closing it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.engine.rounds import QUERY
from pt4al_backend.query.draws import uniform_order
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from tests.support.life import PROJECT, Life

SIZES = {"rounds": 4, "query_size": 10, "control_share": 0.2, "reserve_size": 6}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Life]:
    """100 tasks, ranked; round 1 is open."""
    store = Store(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    store.migrate()
    store.connect(PROJECT, title="shapes")
    life = Life(store, 100, **SIZES)
    life.open()
    yield life
    store.close()


def choose(project: Life, *task_ids: int) -> None:
    project.store.choose(PROJECT, task_ids, "the lead")
    project.rounds.serve_choices(StoredOutput())


def want_controls(project: Life, total: int) -> None:
    project.store.want_controls(PROJECT, project.number, total, "the lead")
    project.rounds.add_controls()


def drawn(count: int) -> list[int]:
    """The first tasks of the draw that control picks come from."""
    ids = np.arange(1, 101)
    return [int(task) for task in ids[np.argsort(uniform_order(ids, 0))][:count]]


def free(project: Life, count: int) -> list[int]:
    """Tasks that the open round has not picked, and that are not held back to measure later ones."""
    return [task for task in range(1, 101) if task not in (*project.picks(), *drawn(10))][:count]


def scores(project: Life) -> list[float]:
    return [pick.score for pick in project.store.picks(PROJECT, project.number)]


def test_chosen_tasks_are_served_first_in_their_order(project: Life) -> None:
    before = project.picks()
    third, first, second = free(project, 3)
    choose(project, first, second, third)
    assert project.picks() == [first, second, third, *before]
    assert project.picks("person") == [first, second, third]
    assert scores(project) == sorted(set(scores(project)))  # Label Studio serves the lowest first
    assert 0 <= scores(project)[0] < scores(project)[-1] <= 1


def test_chosen_tasks_that_were_answered_before_the_look_leave_the_round_as_it_is(project: Life) -> None:
    before, (one,) = project.picks(), free(project, 1)
    project.store.choose(PROJECT, [one], "the lead")
    project.answer([one])
    project.rounds.serve_choices(StoredOutput())
    assert project.picks() == before


def test_withdrawn_choices_leave_the_queue_unless_they_are_answered_or_measure(project: Life) -> None:
    control, (answered, query, other) = project.picks("control")[0], free(project, 3)
    before = [task for task in project.picks() if task != control]
    choose(project, answered, control, query, other)
    project.answer([answered])
    project.store.withdraw(PROJECT, [query, control, answered], "the lead")
    project.rounds.serve_choices(StoredOutput())
    assert project.picks() == [other, answered, control, *before]
    assert project.picks("person") == [other, answered]
    project.store.withdraw(PROJECT, None, "the lead")
    project.rounds.serve_choices(StoredOutput())
    assert project.picks() == [answered, control, *before]
    project.answer(project.picks("query", "control"))
    project.turn()
    assert project.picks("person") == []


def test_chosen_task_that_is_held_back_to_measure_becomes_a_control_pick(project: Life) -> None:
    """Were it none, what people are curious about would be missing in what later rounds measure."""
    third, fourth = drawn(4)[2:]
    choose(project, third)
    assert project.picks()[0] == third
    assert third in project.picks("control")
    project.answer(project.picks("query", "control"))
    project.turn()
    assert fourth in project.picks("control")


def test_newest_list_is_served_before_older_ones(project: Life) -> None:
    one, two, three = free(project, 3)
    choose(project, one, two)
    choose(project, three, one)
    assert project.picks()[:3] == [three, one, two]


def test_chosen_pick_of_the_round_moves_to_the_front(project: Life) -> None:
    query, reserve = project.picks("query")[-1], project.picks("reserve")[-1]
    choose(project, reserve, query)
    assert project.picks()[:2] == project.picks("person") == [reserve, query]
    assert len(project.picks()) == len(set(project.picks()))


def test_chosen_control_pick_stays_one(project: Life) -> None:
    """Were it none any more, what people are curious about would be missing in the measure."""
    controls = project.picks("control")
    choose(project, controls[1])
    assert project.picks()[0] == controls[1]
    assert set(project.picks("control")) == set(controls)
    assert project.picks("person") == []


def test_round_does_not_wait_for_chosen_tasks(project: Life) -> None:
    choose(project, *free(project, 3))
    project.answer(project.picks("query", "control"))
    assert project.rounds.is_answered()
    assert project.store.unanswered_picks(PROJECT, project.number, *QUERY) == 0


def test_unanswered_choices_lead_the_next_round_beside_its_query(project: Life) -> None:
    one, two = project.picks("reserve")[:2]  # none of them is held back to measure the model
    choose(project, one, two)
    project.answer([one, *project.picks("query", "control")])
    project.turn()
    assert project.number == 2
    assert project.picks()[0] == two
    assert project.picks("person") == [two]
    assert len(project.picks("query", "control")) == 10


def test_choice_is_served_again_when_its_answer_is_withdrawn(project: Life) -> None:
    one = project.picks("reserve")[0]
    choose(project, one)
    project.answer([one, *project.picks("query", "control")])
    project.answer([one], AnswerKind.NONE)
    project.turn()
    assert project.picks("person") == [one]


def test_choice_that_is_deleted_or_set_aside_is_not_served(project: Life) -> None:
    gone, aside, there = free(project, 3)
    project.store.choose(PROJECT, [gone, aside, there], "the lead")
    project.store.drop_tasks(PROJECT, [gone])
    project.set_aside([aside])
    project.rounds.serve_choices(StoredOutput())
    assert project.picks("person") == [there]
    project.add([gone])  # another task of that number
    project.rounds.serve_choices(StoredOutput())
    assert project.picks("person") == [there]


def test_choice_has_the_model_s_answer(project: Life) -> None:
    project.answer(project.picks("query", "control"))
    scored = project.score()
    project.turn(scored)
    one = next(task for task in scored.ids.tolist() if task not in project.picks())
    project.store.choose(PROJECT, [one], "the lead")
    project.rounds.serve_choices(scored)
    first = project.store.picks(PROJECT, 2)[0]
    assert (first.task_id, first.label) == (one, "red")
    assert first.confidence == scored.confidences["least_confidence"][scored.ids.tolist().index(one)]


def test_choices_before_the_pool_is_ranked_lead_the_first_query(project: Life, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    store.migrate()
    store.connect(PROJECT, title="shapes")
    early = Life(store, 100, **SIZES)
    store.choose(PROJECT, [5, 6], "the lead")
    early.rounds.start()
    assert early.picks()[:2] == [5, 6]
    early.rank()
    early.rounds.open_first(StoredOutput)
    assert early.picks()[:2] == [5, 6]
    assert len(early.picks("query", "control")) == 10
    store.close()


def test_control_picks_are_added_in_the_order_of_the_draw(project: Life) -> None:
    """The same tasks, whatever the strategy picked: those that later rounds would have measured the model with come first."""
    ids = np.arange(1, 101)
    order = ids[np.argsort(uniform_order(ids, 0))].tolist()
    assert set(project.picks("control")) == set(order[:2])
    want_controls(project, 50)
    assert set(project.picks("control")) == set(order[:50])
    assert scores(project) == sorted(set(scores(project)))
    assert len(project.picks()) == len(set(project.picks()))


def test_added_control_picks_stand_among_what_is_left_of_the_query(project: Life) -> None:
    answered = project.picks()[:6]
    project.answer(answered)
    want_controls(project, 4)
    order, controls = project.picks(), project.picks("control")
    added = [order.index(task) for task in controls if task not in answered][-2:]
    assert order[:6] == answered
    assert all(6 <= place < len(project.picks("query", "control")) for place in added)


def test_second_press_adds_no_more_control_picks(project: Life) -> None:
    want_controls(project, 5)
    order = project.picks()
    want_controls(project, 5)
    want_controls(project, 3)
    assert project.picks() == order


def test_added_control_picks_are_drawn_from_chosen_tasks_as_well(project: Life) -> None:
    chosen = free(project, 40)
    choose(project, *chosen)
    want_controls(project, 40)
    assert set(drawn(40)) == set(project.picks("control"))
    assert project.picks()[:40] == chosen


def test_control_picks_that_a_round_leaves_unanswered_measure_later_rounds(project: Life) -> None:
    """A query may not take them: it would choose by its model what measures the model."""
    want_controls(project, 30)
    left = project.picks("control")
    confidence = np.ones(101)
    confidence[left] = 0.5  # what every query would take first
    measured: list[int] = []
    for _ in range(3):
        project.answer(project.picks("query"))
        project.turn(project.score(confidence))
        measured += project.picks("control")
        assert not set(left) & set(project.picks("query", "reserve"))
        project.answer(project.picks("control"))
    assert 0 < len(measured) == len(set(measured) & set(left))


def test_wish_for_more_control_picks_that_comes_meanwhile_is_kept(project: Life) -> None:
    project.store.want_controls(PROJECT, project.number, 4, "the lead")
    project.store.want_controls(PROJECT, project.number, 9, "another")
    project.store.have_controls(PROJECT, project.number, 4)
    project.rounds.add_controls()
    assert len(project.picks("control")) == 9


def test_more_control_picks_than_tasks_are_as_many_as_there_are(project: Life) -> None:
    chosen = free(project, 2)
    choose(project, *chosen)
    project.answer(range(40, 101))
    want_controls(project, 5_000)
    assert set(range(1, 40)) <= set(project.picks("control"))
    assert project.picks()[:2] == chosen
    round_ = project.store.round(PROJECT, 1)
    assert round_ is not None
    assert round_.controls_wanted == 0  # another look does not try again


def test_control_picks_added_once_the_query_is_answered_come_before_the_reserve(project: Life) -> None:
    project.answer(project.picks("query", "control"))
    reserve = project.picks("reserve")
    want_controls(project, 4)
    left = [task for task in project.picks() if task not in project.store.answered_ids(PROJECT)]
    assert left[:2] == [task for task in project.picks("control") if task in left]
    assert left[2:] == [task for task in reserve if task in left[2:]]
    assert not project.rounds.is_answered()


def test_round_is_closed_early_once(project: Life) -> None:
    assert not project.rounds.is_closed_early()
    project.store.change(PROJECT, round_to_close=1)
    assert project.rounds.is_closed_early()
    project.answer(project.picks()[:3])
    project.turn()
    assert not project.rounds.is_closed_early()


def test_chosen_tasks_train_and_do_not_measure(project: Life) -> None:
    one = free(project, 1)[0]
    choose(project, one)
    assert one not in project.store.control_ids(PROJECT)
    assert project.store.controls_among(PROJECT, [one]) == set()


def test_scores_stay_apart_however_often_people_choose(project: Life) -> None:
    for start in range(1, 101, 5):
        choose(project, *range(start, start + 5))
    assert np.all(np.diff(scores(project)) > 0)
    assert project.picks()[:5] == [96, 97, 98, 99, 100]
