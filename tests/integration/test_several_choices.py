"""A project whose single choice becomes several, on a real Label Studio: labels stay, sets are learned, predicted and served."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pt4al_backend import artefacts
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_sets import from_text
from pt4al_backend.server.predictions import Predictions
from pt4al_backend.server.requests import Task
from tests.support.here import RestartingHere
from tests.support.images import CLASSES, LABEL_CONFIG
from tests.support.kinds import CLASSIFICATION, SEVERAL
from tests.support.loop import SECONDS, Loop
from tests.support.servers import LabelStudioServer

pytestmark = pytest.mark.label_studio


@pytest.fixture(scope="module")
def loop(label_studio: LabelStudioServer, lead: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A first round of single choices, all answered but two."""
    params = {"rounds": 3, "query_size": 10, "control_share": 0.2, "reserve_size": 4, "pretext_epochs": 1, "epochs": 20}
    with Loop(
        label_studio, lead, tmp_path_factory.mktemp("several"), params, kind=CLASSIFICATION, runner=RestartingHere()
    ) as loop:
        loop.add(40)
        loop.reconcile()
        loop.annotate_all(loop.order("query", "control")[:-2])
        loop.reconcile()
        yield loop


def submitted(*choices: str) -> list[dict[str, Any]]:
    region = {"from_name": "colour", "to_name": "image", "type": "choices", "value": {"choices": list(choices)}}
    return [region] if choices else []


def shown(loop: Loop, task: int) -> list[str]:
    """The choices that Label Studio ticks for a task of the queue."""
    (mine,) = [each for each in loop.lead.task(task)["predictions"] if each["model_version"] == loop.served()]
    return [name for region in mine["result"] for name in region["value"]["choices"]]


def test_single_choice_becomes_several_and_the_round_goes_on(loop: Loop) -> None:
    before = {i: label for i, label in loop.labels().train.items()}
    assert before
    loop.client.update_project(loop.id, label_config=SEVERAL.label_config)
    loop.connect(SEVERAL.label_config)
    project = loop.reconcile()
    assert (project.error, project.task) == ("", "multilabel")
    assert "config" not in project.notices
    assert {i: from_text(label) for i, label in loop.labels().train.items()} == {i: (name,) for i, name in before.items()}

    both, none = [i for i in loop.order("query", "control") if i not in loop.store.answers(loop.id)]
    loop.lead.annotate(both, submitted("red", "blue"))
    loop.lead.annotate(none, submitted())
    closed = loop.reconcile()
    assert (closed.error, closed.round) == ("", 2)
    labels = {i: answer.label for i, answer in loop.store.answers(loop.id).items()}
    assert (labels[both], labels[none]) == ('["red", "blue"]', "[]")

    manifest = artefacts.manifest(loop.settings.data_dir / closed.model)
    assert (manifest["task"], manifest["control"]["metric"]) == ("multilabel", "mAP")
    trained = loop.store.round(loop.id, 1)
    assert trained is not None
    assert trained.control.exact_match is not None
    assert trained.control.classes.keys() == set(CLASSES)


def test_the_queue_shows_the_sets_that_the_model_predicts_and_control_picks_show_none(loop: Loop) -> None:
    picks = loop.picks("query", "control")
    predicted = {pick.task_id: pick.label for pick in picks if pick.kind == "query"}
    assert predicted
    for task, label in predicted.items():
        assert shown(loop, task) == list(from_text(label))
    for pick in picks:
        if pick.kind == "control":
            assert shown(loop, pick.task_id) == []


def test_a_task_outside_the_queue_is_answered_by_the_last_model(loop: Loop) -> None:
    answered = set(loop.store.answers(loop.id))
    task = next(i for i in loop.numbers if i not in answered and i not in loop.order())
    data = loop.lead.task(task)["data"]
    (found,) = Predictions(loop.settings, loop.store).of(loop.project, [Task(id=task, data=data)], time.monotonic() + SECONDS)
    assert (found["score"], found["model_version"]) == (1.0, loop.served())
    for region in found["result"]:
        assert (region["type"], region["from_name"]) == ("choices", "colour")
        assert set(region["value"]["choices"]) <= set(CLASSES)
        assert 0.5 <= region["score"] <= 1


def test_back_to_a_single_choice_waits_as_it_would_drop_labels(loop: Loop) -> None:
    loop.client.update_project(loop.id, label_config=LABEL_CONFIG)
    project = loop.reconcile()
    assert "drop 2 of its 10 labels" in project.notices["config"]
    assert project.task == "multilabel"
    loop.client.update_project(loop.id, label_config=SEVERAL.label_config)
    assert "config" not in loop.reconcile().notices
