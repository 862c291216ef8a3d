"""What annotators do with a task, and what the loop makes of it; no webhook tells it: looking is enough."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pt4al_backend import artefacts
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.work_queue import WorkQueue, start_training
from pt4al_backend.engine.worker import Worker
from pt4al_backend.label_studio.annotations import prediction
from tests.support.here import RestartingHere
from tests.support.kinds import KINDS
from tests.support.loop import SECONDS, Loop
from tests.support.queues import taken
from tests.support.servers import LabelStudioServer, wait_until
from tests.support.trainings import Cut, CutShort

pytestmark = pytest.mark.label_studio


@pytest.fixture(scope="module")
def second(label_studio: LabelStudioServer) -> Annotator:
    annotator = Annotator(label_studio.url, "answers@example.com", "a-long-password-2")
    annotator.sign_up()
    return annotator


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def loop(
    request: pytest.FixtureRequest, label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    """A long first round, which no test here answers to the end."""
    params = {"rounds": 1, "query_size": 24, "control_share": 0.1, "pretext_epochs": 1, "train_on_accepted": False}
    with Loop(
        label_studio,
        lead,
        tmp_path_factory.mktemp(f"answers-{request.param.name}"),
        params,
        kind=request.param,
        runner=RestartingHere(),
    ) as loop:
        loop.add(30)
        loop.reconcile()
        yield loop


@pytest.fixture
def task(loop: Loop) -> int:
    """A task of the query that nobody has seen yet."""
    return next(task_id for task_id in loop.order("query") if task_id not in loop.store.answers(loop.id))


def answer(loop: Loop, task: int) -> str:
    """How the state has it: "label", "skip" or ""."""
    stored = loop.store.answers(loop.id).get(task)
    return stored.answer if stored else ""


def test_a_label_trains(loop: Loop, task: int) -> None:
    loop.annotate(task)
    open_before = loop.store.counts(loop.id)["labelled"]
    loop.reconcile()
    assert loop.store.counts(loop.id)["labelled"] == open_before + 1
    assert loop.class_in(loop.labels().train[task]) == loop.truth(task)


def test_state_knows_who_labelled_and_when(loop: Loop, second: Annotator, task: int) -> None:
    began = int(time.time()) - 5  # Label Studio's clock is this machine's
    loop.annotate(task)
    loop.annotate(task, by=second)
    loop.reconcile()
    made = loop.store.annotations(loop.id, [task])[task]
    assert len({each.annotator for each in made}) == 2
    assert None not in {each.annotator for each in made}
    assert all(began <= each.at <= time.time() for each in made)
    assert not any(each.skipped for each in made)


def test_a_skipped_task_counts_as_answered_and_not_as_a_label(loop: Loop, task: int) -> None:
    loop.lead.skip(task)
    loop.reconcile()
    assert answer(loop, task) == "skip"
    assert task not in loop.labels().train
    served = loop.work(1, [loop.lead])
    assert served != [task]


def test_task_whose_annotation_was_deleted_is_served_again_in_its_place(loop: Loop) -> None:
    loop.reconcile()
    first = next(task_id for task_id in loop.order() if task_id not in loop.store.answers(loop.id))
    annotation = loop.annotate(first)
    loop.reconcile()
    assert answer(loop, first) == "label"
    loop.lead.delete_annotation(annotation)
    loop.reconcile()
    assert answer(loop, first) == ""
    assert loop.work(1, [loop.lead]) == [first]
    loop.reconcile()


def test_a_corrected_annotation_trains_with_its_new_label(loop: Loop, task: int) -> None:
    annotation = loop.annotate(task, "red")
    loop.reconcile()
    loop.lead.change_annotation(annotation, loop.regions(task, "blue"))
    loop.reconcile()
    assert loop.class_in(loop.labels().train[task]) == "blue"


def test_an_answer_that_came_and_went_between_two_looks_is_none(loop: Loop, task: int) -> None:
    loop.lead.delete_annotation(loop.annotate(task))
    loop.reconcile()
    assert answer(loop, task) == ""


def test_of_several_annotations_the_majority_counts_and_the_newest_of_a_tie(loop: Loop, task: int, second: Annotator) -> None:
    loop.annotate(task, "red")
    loop.annotate(task, "green", by=second)
    loop.reconcile()
    assert loop.class_in(loop.labels().train[task]) == "green"
    loop.annotate(task, "red")
    loop.reconcile()
    assert loop.class_in(loop.labels().train[task]) == "red"


def test_unreadable_annotation_is_reported_and_the_others_train(loop: Loop, task: int, second: Annotator) -> None:
    loop.annotate(task)
    unknown = json.loads(json.dumps(loop.regions(task)).replace(f'"{loop.truth(task)}"', '"purple"'))
    second.annotate(task, unknown)
    loop.reconcile()
    assert loop.class_in(loop.labels().train[task]) == loop.truth(task)
    reason = dict(loop.store.set_aside(loop.id)[1])[task]
    assert "1 of 2 annotations is left out" in reason
    assert "purple" in reason


def test_an_accepted_prediction_is_an_answer_and_trains_only_if_the_settings_say_so(loop: Loop, task: int) -> None:
    assert loop.client.import_predictions(loop.id, [prediction(task, loop.regions(task, "green"), 0.5, "another model")]) == 1
    shown = next(each for each in loop.lead.task(task)["predictions"] if each["model_version"] == "another model")
    loop.lead.annotate(task, shown["result"], accepting=shown["id"])
    loop.reconcile()
    assert answer(loop, task) == "label"
    assert task not in loop.labels().train
    loop.params["train_on_accepted"] = True
    assert loop.class_in(loop.labels().train[task]) == "green"
    loop.params["train_on_accepted"] = False


def test_a_control_pick_is_measured_and_not_trained_on(loop: Loop) -> None:
    control = loop.order("control")[1]
    loop.annotate(control)
    loop.reconcile()
    labels = loop.labels()
    assert loop.class_in(labels.control[control]) == loop.truth(control)
    assert control not in labels.train


def test_task_with_another_image_keeps_its_answer_and_is_fetched_again(loop: Loop, task: int) -> None:
    loop.annotate(task)
    loop.reconcile()
    (other,) = loop.store.task_images(loop.id, loop.order("reserve")[:1]).values()
    rows = dict(zip(loop.store.tasks(loop.id).ids.tolist(), loop.store.tasks(loop.id).rows.tolist(), strict=True))
    loop.lead.change_data(task, {"image": other})
    loop.reconcile()
    tasks = loop.store.tasks(loop.id)
    assert tasks.rows[tasks.ids == task] > max(rows.values())
    assert answer(loop, task) == "label"


def test_start_training_closes_a_round_early_and_says_when_there_is_nothing_new(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    params = {"rounds": 2, "query_size": 8, "control_share": 0.25, "reserve_size": 4, "pretext_epochs": 1}
    with Loop(label_studio, lead, tmp_path_factory.mktemp("button"), params, runner=RestartingHere()) as loop:
        loop.add(20)
        pressed = loop.reconcile(train=True)
        assert (pressed.round, pressed.trainings_handled) == (1, 1)
        assert "labels of two classes or more" in pressed.notices["button"]
        answered = loop.order("query")[:4]
        left = loop.order("query")[4:]
        loop.annotate_all(answered)
        assert loop.reconcile().round == 1
        queue = WorkQueue(loop.settings)
        start_training(loop.store, queue, loop.id)
        assert taken(queue) == [loop.id]  # by a worker that was killed
        pressed = loop.reconcile()  # as the poll requests it
        assert (pressed.round, pressed.error) == (2, "")
        assert "button" not in pressed.notices
        assert artefacts.manifest(loop.settings.data_dir / pressed.model)["train_size"] == 4
        assert set(left) <= set(loop.store.tasks(loop.id).ids[~loop.store.tasks(loop.id).answered].tolist())
        again = loop.reconcile()
        assert (again.round, again.model, again.notices) == (2, pressed.model, pressed.notices), "one press trained twice"
        again = loop.reconcile(train=True)
        assert (again.round, again.model) == (2, pressed.model)
        assert "no label that the last model has not seen" in again.notices["button"]


@pytest.fixture
def answered(label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path) -> Iterator[Loop]:
    """A project whose first round is answered, and not trained yet."""
    params = {"rounds": 2, "query_size": 8, "control_share": 0.25, "reserve_size": 4, "pretext_epochs": 1, "epochs": 2}
    with Loop(label_studio, lead, tmp_path / "press", params) as loop:
        loop.add(30)
        loop.reconcile()
        loop.annotate_all(loop.order("query", "control"))
        yield loop


def press_with_new_labels(loop: Loop) -> None:
    """Labels what lies behind the query, then presses Start Training."""
    loop.annotate_all(loop.order("reserve"))
    start_training(loop.store, WorkQueue(loop.settings), loop.id)


def train_size(loop: Loop) -> int:
    return int(artefacts.manifest(loop.settings.data_dir / loop.project.model)["train_size"])


def test_press_during_a_training_trains_again_on_the_labels_since(answered: Loop) -> None:
    reserve = answered.order("reserve")
    with answered.reconciling(), answered.held("learn-1"):
        press_with_new_labels(answered)
        wait_until(lambda: set(reserve) <= set(answered.store.answers(answered.id)), SECONDS, "the labels are taken over")
    assert (answered.project.round, answered.project.trainings_handled, train_size(answered)) == (3, 1, 6 + 4)


def test_press_during_a_training_that_is_cut_short_trains_again_as_well(answered: Loop) -> None:
    with pytest.raises(Cut):
        Worker(answered.settings, answered.store, CutShort()).handle_request(answered.id)
    press_with_new_labels(answered)
    answered.reconcile()
    assert (answered.project.round, answered.project.trainings_handled, train_size(answered)) == (3, 1, 6 + 4)
