"""Identical images: one of them is queried, and none is on both sides of a measurement."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.intake import Intake
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.measures import PretextQuality
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind, Pick, PickKind, Project, Round
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.images import arrow, encoded
from tests.support.trainings import answer, known, ten_tasks, training_of

LABEL = StoredAnswer(AnswerKind.LABEL, "up")


class Files:
    """Stands for the fetcher: task 1 shows picture ``shows(1)``, and so on."""

    def __init__(self, shows: Callable[[int], int]) -> None:
        self._shows = shows

    def fetch(self, _: object, task_id: int) -> bytes:
        return encoded(arrow(self._shows(task_id)))


class Pool:
    """A project of ``count`` tasks; task i shows picture ``shows(i)``."""

    def __init__(self, store: Store, settings: ServerSettings, count: int, shows: Callable[[int], int], **params: Any) -> None:
        self.store, self.settings, self.shows, self.options = store, settings, shows, ProjectSettings(**params)
        store.connect(1)
        self.add(range(1, count + 1))

    @property
    def project(self) -> Project:
        return known(self.store)

    @property
    def rounds(self) -> Rounds:
        return Rounds(self.store, self.project, self.options)

    def add(self, ids: range) -> None:
        self.store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in ids])

    def fetch(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> None:
        fetcher: Any = Files(lambda task_id: self.shows(task_id))
        Intake(self.store, self.settings, fetcher, self.project, self.options, "classification").run(on_progress)

    def rank(self) -> None:
        ids = self.store.tasks(1).ids
        self.store.set_tasks(1, {"id": ids, "loss": [float(self.shows(i)) for i in ids.tolist()]})
        self.store.change(1, quality=PretextQuality(meaningful=True))
        ids, batches = self.rounds.batches(self.rounds.pool(), max(self.project.round, 1), meaningful=True, from_scratch=True)
        self.store.set_tasks(1, {"id": ids, "batch": batches})

    def open(self) -> None:
        """What the engine does from the first look to the first query."""
        self.rounds.start()
        self.fetch()
        self.rank()
        self.rounds.open_first(StoredOutput)

    def picks(self) -> list[Pick]:
        return self.store.picks(1, self.project.round)

    def pictures(self) -> Counter[int]:
        return Counter(self.shows(pick.task_id) for pick in self.picks())

    def answer(self, ids: list[int]) -> None:
        self.store.put_answers(1, dict.fromkeys(ids, LABEL))

    def next_round(self) -> None:
        self.rounds.cut_batches(self.project.round + 1)
        self.rounds.open_next(StoredOutput(), ClosedRound(labels=1))


def half_one_picture(task_id: int) -> int:
    return 0 if task_id % 2 else task_id


def imported_twice(task_id: int) -> int:
    return (task_id - 1) % 60


@pytest.mark.parametrize(("count", "shows"), [(80, half_one_picture), (120, imported_twice)])
@pytest.mark.parametrize("strategy", ["pt4al", "random"])
def test_query_and_reserve_take_one_of_identical_images(
    store: Store, settings: ServerSettings, count: int, shows: Callable[[int], int], strategy: str
) -> None:
    pool = Pool(store, settings, count, shows, query_size=20, rounds=2, strategy=strategy)
    pool.open()
    assert sum(pick.kind != PickKind.RESERVE for pick in pool.picks()) == 20
    assert max(pool.pictures().values()) == 1


def test_no_picture_is_queried_in_two_rounds_until_all_are_known(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 80, half_one_picture, query_size=10, rounds=2, reserve_size=5)
    pool.open()
    seen = Counter[int]()
    for _ in range(6):
        queried = [pick.task_id for pick in pool.picks() if pick.kind != PickKind.RESERVE]
        seen.update(pool.shows(i) for i in queried)
        pool.answer(queried)
        pool.next_round()
    assert max(seen.values()) == 1
    assert len(seen) == 41  # all pictures
    assert pool.picks() == []
    assert not pool.rounds.waits_for_people()
    assert store.counts(1)["tasks"] - store.counts(1)["labelled"] == 39  # copies, which people may still label


def test_copy_that_a_person_labels_keeps_its_picture_out_of_queries(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 120, imported_twice, query_size=20, rounds=2)
    pool.fetch()
    pool.answer(list(range(71, 101)))  # the second copies of pictures 10 to 39
    pool.open()
    assert not set(pool.pictures()) & set(range(10, 40))


def test_reserve_is_lengthened_by_no_picture_that_it_has(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 120, imported_twice, query_size=10, rounds=2, reserve_size=10)
    pool.open()
    pool.answer([pick.task_id for pick in pool.picks()])
    assert pool.rounds.lengthen(StoredOutput)
    assert max(pool.pictures().values()) == 1


def test_control_picks_drawn_before_images_are_known_are_no_copies_of_each_other(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 40, lambda task_id: 0 if task_id <= 30 else task_id, query_size=8, rounds=2, control_share=0.5)
    pool.open()
    assert max(pool.pictures().values()) == 1


@pytest.mark.parametrize("control_share", [0.0, 0.5])
def test_round_that_starts_serves_one_of_identical_images(store: Store, settings: ServerSettings, control_share: float) -> None:
    pool = Pool(store, settings, 80, half_one_picture, query_size=20, rounds=2, reserve_size=40, control_share=control_share)
    pool.rounds.start()
    controls = {pick.task_id for pick in pool.picks() if pick.kind == PickKind.CONTROL}
    assert pool.pictures()[0] > 1
    answered = next(pick.task_id for pick in pool.picks() if pick.kind == PickKind.RESERVE and not pool.shows(pick.task_id))
    pool.answer([answered])
    pool.fetch()
    assert pool.rounds.drop_copies()
    assert pool.pictures()[0] == 1
    assert answered in {pick.task_id for pick in pool.picks()}
    assert {pick.task_id for pick in pool.picks() if pool.shows(pick.task_id)} >= {i for i in controls if pool.shows(i)}
    assert not pool.rounds.drop_copies()


def test_schedule_counts_identical_images_once(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 80, half_one_picture, query_size=10, rounds=8)
    assert pool.rounds.schedule().rounds == 8
    pool.fetch()
    assert pool.rounds.schedule().rounds == 4


def test_frames_that_an_earlier_version_stored_are_compared_as_well(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 6, lambda task_id: task_id % 3)
    pool.fetch()
    store.clear_tasks(1, frame="", copy_of=None)
    assert store.copy_count(1) == 0
    pool.fetch()
    assert store.origins(1, range(1, 7)) == {4: 1, 5: 2, 6: 3}


def test_task_that_is_given_another_image_while_frames_are_compared_is_no_origin(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 4, lambda task_id: task_id % 2)
    pool.fetch()
    store.clear_tasks(1, frame="", copy_of=None)  # as an earlier version left it

    def replace(done: int, _: int) -> None:
        if not done and pool.shows(1) == 1:
            pool.shows = lambda task_id: 7 if task_id == 1 else task_id % 2
            store.put_tasks(1, [{"id": 1, "image": "other.png", "problem": ""}])

    pool.fetch(replace)
    assert store.origins(1, range(1, 5)) == {4: 2}


class TestLabels:
    """Ten tasks, of which the first is a control pick; 2 and 3 show the same as it, 5 the same as 4."""

    @pytest.fixture
    def ten(self, settings: ServerSettings) -> Iterator[Store]:
        for store in ten_tasks(settings):
            digests = dict(zip(range(1, 11), "aaabbcdefg", strict=True))
            store.put_digests(1, digests)
            yield store

    def test_copy_of_a_control_pick_is_neither_trained_on_nor_measured(self, ten: Store, settings: ServerSettings) -> None:
        for task_id in (1, 2, 4, 5):
            answer(ten, task_id, "red")
        labels = training_of(ten, settings).take_labels()
        assert labels.control == {1: "red"}
        assert sorted(labels.train) == [4, 5]

    def test_two_control_picks_of_one_image_measure_once(self, ten: Store, settings: ServerSettings) -> None:
        pick = Pick(project_id=1, round=2, task_id=3, position=0, kind=PickKind.CONTROL, score=0.5)
        ten.open_round(1, Round(project_id=1, number=2), [pick])
        for task_id in (1, 3):
            answer(ten, task_id, "red")
        assert training_of(ten, settings).take_labels().control == {1: "red"}


def test_order_of_arrival_does_not_change_how_many_are_asked(store: Store, settings: ServerSettings) -> None:
    pool = Pool(store, settings, 30, lambda task_id: task_id % 15, query_size=5, rounds=2, reserve_size=10)
    pool.open()
    pool.add(range(31, 61))  # the same pictures twice more
    pool.fetch()
    assert store.copy_count(1) == 45
    pool.rank()
    pool.answer([pick.task_id for pick in pool.picks() if pick.kind != PickKind.RESERVE])
    pool.next_round()
    assert max(pool.pictures().values()) == 1
    assert len(np.unique([pool.shows(i) for i in store.answered_ids(1).tolist()])) == 5
