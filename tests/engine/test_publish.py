"""What Label Studio is told to serve, against one that takes everything."""

from collections.abc import Sequence
from typing import Any

import pytest

from pt4al_backend.engine.publish import ServedQueue
from pt4al_backend.errors import LabelStudioError
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.lease import LeaseLost
from pt4al_backend.state.schema import Pick, PublicationState
from pt4al_backend.state.store import Store
from tests.support.images import LABEL_CONFIG
from tests.support.trainings import known


class Studio:
    """Holds predictions by version, and the version that it serves."""

    def __init__(self) -> None:
        self.predictions: dict[str, int] = {}
        self.served = ""
        self.shown: dict[str, dict[int, Any]] = {}
        self.others: dict[int, Any] = {}

    def model_versions(self, _: int) -> dict[str, int]:
        return dict(self.predictions)

    def import_predictions(self, _: int, predictions: Sequence[dict[str, Any]]) -> int:
        version = predictions[0]["model_version"]
        taken = sum(each["result"] != ["refused"] for each in predictions)
        self.predictions[version] = self.predictions.get(version, 0) + taken
        self.shown.setdefault(version, {}).update({each["task"]: each["result"] for each in predictions})
        return taken

    def results_of(self, _: int, version: str, task_ids: Sequence[int]) -> dict[int, Any]:
        assert version == "vendor-1"
        return {task: self.others[task] for task in task_ids if task in self.others}

    def update_project(self, _: int, *, sampling: str, model_version: str) -> None:
        self.served = model_version


def queue(store: Store, studio: Any, *, show: bool = True, **options: Any) -> ServedQueue:
    project = known(store)
    return ServedQueue(store, studio, project, ClassificationReader(parse(LABEL_CONFIG)), show_predictions=show, **options)


def picks(count: int) -> list[Pick]:
    same = {"project_id": 1, "round": 1, "kind": PickKind.QUERY, "label": ""}
    return [Pick(**same, task_id=i, position=i, score=i / 10) for i in range(1, count + 1)]


def test_publish_twice_sends_once(store: Store) -> None:
    studio = Studio()
    queue(store, studio).publish(1, picks(3))
    queue(store, studio).publish(1, picks(3))
    assert studio.predictions == {studio.served: 3}
    (live,) = store.publications(1, PublicationState.LIVE)
    assert (live.version, live.picks) == (studio.served, 3)


def test_longer_queue_keeps_its_version(store: Store) -> None:
    studio = Studio()
    queue(store, studio).publish(1, picks(3))
    queue(store, studio).publish(1, picks(5))
    assert studio.predictions == {studio.served: 5}


def test_lost_lease_leaves_the_old_order(store: Store) -> None:
    def lost() -> None:
        raise LeaseLost

    studio = Studio()
    queue(store, studio).publish(1, picks(3))
    before = studio.served
    with pytest.raises(LeaseLost):
        queue(store, studio, before_switch=lost).publish(2, picks(4))
    project = known(store)
    assert studio.served == project.served_version == before
    queue(store, studio).publish(2, picks(4))  # the next holder takes over what was sent
    assert studio.served != before
    assert studio.predictions[studio.served] == 4
    assert len(studio.predictions) == 2


def test_hidden_answers_take_effect_on_the_queue_that_is_served(store: Store) -> None:
    studio = Studio()
    answered = [*picks(3), Pick(project_id=1, round=1, task_id=4, position=4, kind=PickKind.QUERY, score=0.4, label="red")]
    queue(store, studio).publish(1, answered)
    shown = studio.served
    assert studio.shown[shown][4] != []
    queue(store, studio, show=False).publish(1, answered)
    queue(store, studio, show=False).publish(1, answered)
    assert studio.shown.keys() == {shown, studio.served}
    assert studio.shown[studio.served][4] == []


def test_queue_without_answers_is_not_sent_again_to_hide_them(store: Store) -> None:
    studio = Studio()
    queue(store, studio).publish(1, picks(3))
    queue(store, studio, show=False).publish(1, picks(3))
    assert len(studio.shown) == 1


def test_predictions_of_the_version_chosen_before_are_shown_until_there_is_an_answer(store: Store) -> None:
    store.change(1, chosen_before={"carried": "vendor-1"})
    studio = Studio()
    studio.others = {1: ["theirs"], 2: ["theirs"], 4: ["theirs"]}
    first, second, third = picks(3)
    second.kind, first.label = PickKind.CONTROL, "red"
    fourth = Pick(project_id=1, round=1, task_id=4, position=4, kind=PickKind.QUERY, score=0.4, label="")
    queue(store, studio).publish(1, [first, second, third, fourth])
    shown = studio.shown[studio.served]
    assert shown[1] not in ([], ["theirs"])  # this backend's own answer
    assert (shown[2], shown[3], shown[4]) == ([], [], ["theirs"])


def test_predictions_that_label_studio_refuses_are_left_out_next_time(store: Store) -> None:
    store.change(1, chosen_before={"carried": "vendor-1"})
    studio = Studio()
    studio.others = {2: ["refused"]}
    with pytest.raises(LabelStudioError):
        queue(store, studio).publish(1, picks(3))
    queue(store, studio).publish(1, picks(3))
    assert studio.shown[studio.served][2] == []
