"""The picks of rounds, on a state without Label Studio."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.engine.rounds import QUERY
from pt4al_backend.query.draws import uniform_order
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.schema import AnswerKind, Pick
from pt4al_backend.state.store import Store
from tests.support.life import PROJECT, Life


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    opened.migrate()
    opened.connect(PROJECT, title="shapes")
    yield opened
    opened.close()


def random_order(ids: Iterable[int], seed: int = 0) -> list[int]:
    array = np.array(sorted(ids), np.int64)
    return array[np.argsort(uniform_order(array, seed))].tolist()


def batches(store: Store) -> dict[int, int]:
    tasks = store.tasks(PROJECT)
    return dict(zip(tasks.ids.tolist(), tasks.batches.tolist(), strict=True))


def test_start_serves_control_picks_then_a_uniform_reserve(store: Store) -> None:
    project = Life(store, 100, rounds=5, query_size=10, control_share=0.2, reserve_size=6)
    project.rounds.start()
    order = random_order(range(1, 101))
    assert project.picks("control") == project.picks()[:2] == order[:2]
    assert len(project.picks("reserve")) == 6
    assert not set(project.picks("reserve")) & set(order[:10])  # held back for the control picks of later rounds
    assert not project.rounds.is_answered()


def test_start_twice_changes_nothing(store: Store) -> None:
    project = Life(store, 50, query_size=5)
    project.rounds.start()
    first = project.picks()
    project.add(range(51, 80))
    project.rounds.start()
    assert project.picks() == first


def test_empty_pool_opens_no_round(store: Store) -> None:
    project = Life(store)
    project.rounds.start()
    project.rounds.open_first(StoredOutput)
    assert project.number == 0


def test_first_query_keeps_the_control_picks_served_so_far(store: Store) -> None:
    project = Life(store, 100, rounds=5, query_size=10, control_share=0.2, reserve_size=6)
    project.rounds.start()
    controls, reserve = project.picks("control"), project.picks("reserve")
    project.answer([controls[0], reserve[0]])
    losses = project.rank()
    project.rounds.open_first(StoredOutput)
    assert project.picks("control") == controls
    assert len(project.picks("query")) == 8
    assert reserve[0] not in project.picks()
    queried = [losses[i] for i in project.picks("query")]
    assert queried == sorted(queried, reverse=True)
    assert queried[0] - queried[-1] > 0.75  # even intervals of the whole ranking


def test_control_pick_set_aside_is_replaced_in_random_order(store: Store) -> None:
    project = Life(store, 100, rounds=5, query_size=10, control_share=0.2)
    project.rounds.start()
    first, second, third = random_order(range(1, 101))[:3]
    project.set_aside([first])
    project.rank()
    project.rounds.open_first(StoredOutput)
    assert project.picks("control") == [second, third]


def test_tasks_without_a_loss_wait_for_a_later_round(store: Store) -> None:
    project = Life(store, 60, rounds=3, query_size=10, control_share=0)
    project.rank()
    project.add(range(61, 81))
    project.rounds.start()
    project.rounds.open_first(StoredOutput)
    assert max(project.picks("query", "reserve")) <= 60


def test_meaningless_ranking_is_replaced_by_a_uniform_order(store: Store) -> None:
    project = Life(store, 200, rounds=4, query_size=40, control_share=0, reserve_size=0)
    losses = project.open(meaningful=False)
    queried = [losses[i] for i in project.picks("query")]
    assert queried != sorted(queried, reverse=True)
    in_batches = [np.mean([losses[i] for i, batch in batches(store).items() if batch == number]) for number in (1, 2, 3, 4)]
    assert np.ptp(in_batches) < 0.3  # batches by loss would be 0.25 apart each


def test_paper_queries_even_intervals_of_the_hardest_batch(store: Store) -> None:
    project = Life(store, 100, preset="paper", rounds=5, query_size=5)
    losses = project.rank()
    project.rounds.start()
    assert project.picks() == []
    project.rounds.open_first(StoredOutput)
    hardest = sorted(losses, key=losses.__getitem__, reverse=True)[:20]
    assert project.picks() == project.picks("query") == hardest[::4]
    assert not project.rounds.lengthen(StoredOutput)


def test_round_queries_the_least_confident_of_its_batch(store: Store) -> None:
    project = Life(store, 100, rounds=5, query_size=10, control_share=0, reserve_size=5, batch_order="hard_first")
    project.open()
    for number in (2, 3, 4, 5):
        project.answer(project.picks("query"))
        assert project.rounds.is_answered()
        scored = project.score()
        project.turn(scored)
        assert {batches(store)[i] for i in project.picks("query")} == {number}
        confidence = dict(zip(scored.ids.tolist(), scored.confidences["least_confidence"].tolist(), strict=True))
        in_batch = [i for i in confidence if batches(store)[i] == number]
        assert project.picks("query") == sorted(in_batch, key=confidence.__getitem__)[:10]
        assert project.batch == number


@pytest.mark.parametrize(
    ("settings", "order"),
    [({"rounds": 5, "batch_order": "interleaved"}, (5, 2, 4, 3)), ({"rounds": 4, "batches": 2}, (2, 1, 2))],
)
def test_rounds_take_the_batches_in_the_order_of_the_settings(
    store: Store, settings: dict[str, Any], order: tuple[int, ...]
) -> None:
    project = Life(store, 100, query_size=10, control_share=0, reserve_size=5, **settings)
    project.open()
    for batch in order:
        project.answer(project.picks("query"))
        project.turn()
        assert {batches(store)[i] for i in project.picks("query")} == {batch}
        assert project.batch == batch


def test_fewer_batches_than_rounds_are_cut_again_over_what_is_left(store: Store) -> None:
    project = Life(store, 60, rounds=4, batches=2, query_size=10, control_share=0, reserve_size=0)
    losses = project.open()
    for _ in (2, 3):
        project.answer(project.picks("query"))
        project.turn()
    left = [i for i in losses if i not in store.answers(PROJECT)]
    assert len(left) == 40
    assert [sum(batches(store)[i] == number for i in left) for number in (1, 2)] == [20, 20]


def test_typiclust_starts_with_one_image_of_each_kind(store: Store) -> None:
    """Four kinds of images. One that is held back for control picks teaches nothing, so it does not stand for its kind."""
    project = Life(store, 84, strategy="typiclust", query_size=5, control_share=0.2, reserve_size=5, rounds=4)
    project.rank()
    project.rounds.start()
    (control,) = project.picks("control")
    ids = np.arange(1, 81)  # the others came after the ranking
    features = np.eye(4, dtype=np.float16).repeat(20, 0) + np.random.default_rng(0).random((80, 4)).astype(np.float16) / 20
    known = StoredOutput(ids, {}, np.full(80, ""), features)
    project.rounds.open_first(lambda: known)
    assert project.picks("control") == [control]
    assert sorted((i - 1) // 20 for i in project.picks("query")) == [0, 1, 2, 3]
    assert {(pick.label, pick.confidence) for pick in store.picks(PROJECT, 1)} == {("", None)}
    project.answer(project.picks("query", "reserve"))
    assert project.rounds.lengthen(lambda: known)


def test_sweep_begins_again_over_what_is_left(store: Store) -> None:
    project = Life(store, 40, rounds=2, query_size=10, control_share=0, reserve_size=0)
    losses = project.open()
    for _ in (2, 3):
        project.answer(project.picks("query"))
        project.turn()
    left = sorted((i for i in losses if i not in store.answers(PROJECT)), key=losses.__getitem__, reverse=True)
    assert len(left) == 20
    assert sorted(project.picks("query")) == sorted(left[:10])  # the harder half of the rest is the first batch again
    assert project.batch == 1


@pytest.mark.parametrize("surest_first", [1, -1])
def test_control_picks_do_not_depend_on_the_model(store: Store, surest_first: int) -> None:
    """Whether the model is surest or least sure of the tasks held back, a sweep measures it on the same ones."""
    project = Life(store, 200, rounds=4, query_size=20, control_share=0.2, reserve_size=10)
    project.open()
    order = random_order(range(1, 201))
    likely = np.zeros(201)
    likely[order] = np.linspace(0.5, 1, 200)[::surest_first]
    for _ in (1, 2, 3):
        project.answer(project.picks("control", "query"))
        project.answer(project.picks("reserve")[:3])
        project.turn(project.score(likely))
    assert store.control_ids(PROJECT).tolist() == sorted(order[:16])
    for number in (1, 2, 3, 4):
        queried = {pick.task_id for pick in store.picks(PROJECT, number) if pick.kind != "control"}
        assert not queried & set(order[:16])


def test_control_picks_take_no_more_than_their_share_of_what_is_left(store: Store) -> None:
    project = Life(store, 20, rounds=10, query_size=2, control_share=0.1, strategy="entropy")
    project.open()
    assert len(project.rounds.candidates(2)) == 18  # the whole pool but two: not one for each of ten rounds


def test_skipped_set_aside_and_deleted_tasks_keep_no_round_open(store: Store) -> None:
    project = Life(store, 60, rounds=3, query_size=6, control_share=0)
    project.open()
    first, second, third, *rest = project.picks("query")
    project.answer(rest)
    assert store.unanswered_picks(PROJECT, project.number, *QUERY) == 3
    project.answer([first], AnswerKind.SKIP)
    project.set_aside([second])
    assert not project.rounds.is_answered()
    store.drop_tasks(PROJECT, [third])
    assert project.rounds.is_answered()


def test_withdrawn_answer_is_waited_for_again(store: Store) -> None:
    project = Life(store, 60, rounds=3, query_size=6)
    project.open()
    project.answer(project.picks("control", "query"))
    assert project.rounds.is_answered()
    project.answer(project.picks("query")[:1], AnswerKind.NONE)
    assert not project.rounds.is_answered()
    assert store.unanswered_picks(PROJECT, project.number, *QUERY) == 1


def test_round_without_its_query_gets_another(store: Store) -> None:
    project = Life(store, 60, rounds=3, query_size=6, control_share=0)
    project.open()
    project.answer(project.picks("query"))
    scored = project.score()
    project.turn(scored)
    before = project.picks("query")
    store.drop_tasks(PROJECT, before)
    project.rounds.open_first(lambda: scored)
    queried = [pick for pick in store.picks(PROJECT, 2) if pick.kind == "query"]
    assert len(queried) == 6
    assert all(pick.label for pick in queried)  # by the same model
    assert not {pick.task_id for pick in queried} & set(before)


def test_open_round_is_left_alone(store: Store) -> None:
    project = Life(store, 60, rounds=3, query_size=6)
    project.open()
    before = [(pick.task_id, pick.position, pick.score) for pick in store.picks(PROJECT, 1)]
    project.answer(project.picks("query")[:3])
    project.rounds.open_first(StoredOutput)
    assert [(pick.task_id, pick.position, pick.score) for pick in store.picks(PROJECT, 1)] == before


def test_exhausted_pool_opens_an_empty_round_that_late_imports_fill(store: Store) -> None:
    project = Life(store, 12, rounds=2, query_size=6, control_share=0)
    project.rank()
    project.rounds.start()
    for _ in (1, 2):
        project.rounds.open_first(StoredOutput)
        project.answer(project.picks("query"))
        project.turn()
    project.answer(range(1, 13))
    project.turn(StoredOutput())
    assert project.picks() == []
    assert not project.rounds.is_answered()
    project.rounds.open_first(StoredOutput)
    assert project.picks() == []
    project.add(range(13, 20))
    project.rank()
    project.rounds.open_first(StoredOutput)
    assert len(project.picks("query")) == 6
    assert min(project.picks()) >= 13


@pytest.mark.parametrize(("reserve", "enough"), [(60, 30), (30, 20), (8, 8)])
def test_reserve_is_lengthened_when_little_of_it_is_left(store: Store, reserve: int, enough: int) -> None:
    project = Life(store, 400, rounds=2, query_size=10, control_share=0, reserve_size=reserve)
    project.open()
    project.answer(project.picks("query"))
    scored = project.score()
    project.turn(scored)
    project.answer(project.picks("query"))
    project.answer(project.picks("reserve")[: reserve - enough])
    assert not project.rounds.lengthen(lambda: scored)
    before = project.picks()
    project.answer(project.picks("reserve")[reserve - enough :][:1])
    assert project.rounds.lengthen(lambda: scored)
    assert project.picks()[: 10 + reserve] == before
    added: list[Pick] = store.picks(PROJECT, 2)[10 + reserve :]
    assert len(added) == reserve
    assert {pick.kind for pick in added} == {"reserve"}
    assert all(pick.label for pick in added)  # scored ahead, so the order is the model's
    assert not {pick.task_id for pick in added} & store.answers(PROJECT).keys()
    assert (np.diff([pick.score for pick in store.picks(PROJECT, 2)]) > 0).all()
    assert not project.rounds.lengthen(lambda: scored)


def test_reserve_is_lengthened_before_the_pool_is_ranked(store: Store) -> None:
    project = Life(store, 60, rounds=3, query_size=10, control_share=0.1)
    project.rounds.start()
    project.answer(project.picks())
    assert project.rounds.lengthen(StoredOutput)
    assert len(project.picks()) > 11
    assert not set(project.picks()[11:]) & store.answers(PROJECT).keys()


def test_reserve_with_the_last_task_is_not_lengthened(store: Store) -> None:
    project = Life(store, 10, rounds=1, query_size=5, control_share=0, reserve_size=5)
    project.open()
    project.answer(project.picks())
    assert not project.rounds.lengthen(StoredOutput)
