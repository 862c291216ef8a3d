"""What people do on the page changes what annotators are served, what is trained, and what Label Studio has."""

from collections.abc import Iterator

import pytest

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.actions import Actions
from pt4al_backend.query.control_picks import held_back
from tests.support.loop import SECONDS, Loop
from tests.support.servers import LabelStudioServer, wait_until
from tests.support.web_client import RecordingQueue

pytestmark = pytest.mark.label_studio

PARAMS = {"rounds": 4, "query_size": 6, "control_share": 0.34, "reserve_size": 4}
SMALL = {"encoder": "resnet18", "pretext_epochs": 2, "epochs": 2, "width": 8}
TASKS = 40
BEFORE = "Uniform sampling"


@pytest.fixture(scope="module")
def loop(label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A project whose first round is open."""
    with Loop(label_studio, lead, tmp_path_factory.mktemp("acting"), {**PARAMS, **SMALL}) as opened:
        opened.client.update_project(opened.id, sampling=BEFORE)
        opened.add(TASKS)
        opened.reconcile()
        assert opened.round.state == "open"
        yield opened


def act(loop: Loop) -> Actions:
    return Actions(loop.store, RecordingQueue(), loop.id, "the lead")


def not_picked(loop: Loop, count: int) -> list[int]:
    """Tasks that the open round has not picked and that no later one measures with, the last of the project first."""
    rounds = loop.rounds()
    pool = rounds.pool()
    held = held_back(pool.ids[pool.unknown], rounds.schedule(), loop.project.round, seed=0)
    free = loop.numbers.keys() - set(loop.order()) - set(held.tolist())
    found = sorted(free, reverse=True)[:count]
    assert len(found) == count
    return found


def answer_the_query(loop: Loop) -> None:
    answered = loop.store.answered_ids(loop.id).tolist()
    loop.annotate_all(task for task in loop.order("query", "control") if task not in answered)


def test_next_task_that_an_annotator_is_served_is_the_chosen_one(loop: Loop) -> None:
    """One of them was deleted in Label Studio a moment ago."""
    first, gone, second = not_picked(loop, 3)
    controls = loop.order("control")
    loop.client.request("DELETE", f"/api/tasks/{gone}")
    del loop.numbers[gone]
    left_out, _ = act(loop).label_next([first, gone, second, 10**9])
    assert list(left_out) == [10**9]
    loop.reconcile()
    assert loop.work(2, [loop.lead]) == [first, second]
    loop.reconcile()
    assert loop.order("person") == [first, second]
    assert loop.order("control") == controls
    assert first in loop.labels().train
    assert loop.labels().control == {}


def test_chosen_tasks_are_served_while_a_model_trains(loop: Loop) -> None:
    answer_the_query(loop)
    (chosen,), before = not_picked(loop, 1), loop.served()
    with loop.reconciling(), loop.held("learn-1"):
        assert act(loop).label_next([chosen])[0] == {}
        loop.store.request(loop.id)  # as the worker's other thread notes it
        wait_until(lambda: loop.served() != before, SECONDS, "Label Studio has the new order")
        assert loop.next() == chosen
    assert loop.project.round == 2
    assert loop.order()[0] == chosen  # nobody has answered it yet
    assert len(loop.order("query", "control")) == PARAMS["query_size"]


def test_paused_project_takes_answers_and_publishes_and_trains_nothing(loop: Loop) -> None:
    number, version, versions = loop.project.round, loop.served(), loop.versions()
    act(loop).pause()
    answer_the_query(loop)
    act(loop).label_next(not_picked(loop, 1))
    assert loop.reconcile(train=True).phase == "paused"
    assert set(loop.order("query", "control")) <= set(loop.store.answered_ids(loop.id).tolist())
    assert (loop.project.round, loop.served(), loop.versions()) == (number, version, versions)
    act(loop).resume()
    assert loop.reconcile().round == number + 1
    assert loop.project.phase == "labelling"
    assert loop.served() != version


def test_pause_ends_a_training_that_is_under_way(loop: Loop) -> None:
    number = loop.project.round
    answer_the_query(loop)
    with loop.reconciling() as look, loop.held(f"learn-{number}"):
        act(loop).pause()
        look.join(SECONDS)
        assert not look.is_alive()
    assert (loop.project.round, loop.project.phase, loop.project.error) == (number, "paused", "")
    act(loop).resume()
    assert loop.reconcile().round == number + 1


def test_closed_round_trains_on_what_is_there_and_opens_the_next(loop: Loop) -> None:
    number = loop.project.round
    loop.annotate(loop.order("query")[0])
    loop.reconcile()
    assert loop.project.round == number
    for _ in (1, 2):
        act(loop).close_round(number)
        assert loop.reconcile().round == number + 1
    closed = loop.store.round(loop.id, number)
    assert closed is not None
    assert closed.model


def test_added_control_picks_are_served_and_measure_the_model(loop: Loop) -> None:
    act(loop).add_control_picks(loop.project.round, 5)
    loop.reconcile()
    assert len(loop.order("control")) == 5
    assert loop.served() == loop.project.served_version
    served = loop.work(6, [loop.lead])
    assert set(loop.order("control")) & set(served)
    loop.reconcile()
    assert set(served) & set(loop.order("control")) <= set(loop.labels().control)


def test_label_studio_gets_back_what_it_had_before(loop: Loop) -> None:
    assert loop.client.project(loop.id)["sampling"] == "Uncertainty sampling"
    act(loop).put_back()
    loop.reconcile()
    assert loop.client.project(loop.id)["sampling"] == BEFORE
    assert "Uniform sampling" in loop.project.notices["before"]
    loop.reconcile()
    assert loop.client.project(loop.id)["sampling"] == BEFORE
    act(loop).resume()
    loop.reconcile()
    assert loop.client.project(loop.id)["sampling"] == "Uncertainty sampling"
    assert loop.served() == loop.project.served_version
    waiting = [pick.task_id for pick in loop.picks() if pick.task_id not in loop.store.answered_ids(loop.id)]
    assert loop.next() == waiting[0]
