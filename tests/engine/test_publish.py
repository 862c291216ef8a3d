"""What Label Studio is told to serve, against one that takes everything."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.publish import ServedQueue
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.state.lease import LeaseLost
from pt4al_backend.state.schema import Pick, PickKind, PublicationState
from pt4al_backend.state.store import Store
from tests.support.images import LABEL_CONFIG


class Studio:
    """Holds predictions by version, and the version that it serves."""

    def __init__(self) -> None:
        self.predictions: dict[str, int] = {}
        self.served = ""

    def model_versions(self, _: int) -> dict[str, int]:
        return dict(self.predictions)

    def import_predictions(self, _: int, predictions: Sequence[dict[str, Any]]) -> int:
        version = predictions[0]["model_version"]
        self.predictions[version] = self.predictions.get(version, 0) + len(predictions)
        return len(predictions)

    def update_project(self, _: int, *, sampling: str, model_version: str) -> None:
        self.served = model_version


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    opened = Store.open(settings)
    opened.connect(1)
    yield opened
    opened.close()


def queue(store: Store, studio: Any, **options: Any) -> ServedQueue:
    project = store.project(1)
    assert project is not None
    return ServedQueue(store, studio, project, ClassificationReader(parse(LABEL_CONFIG)), show_predictions=True, **options)


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
    project = store.project(1)
    assert project is not None
    assert studio.served == project.served_version == before
    queue(store, studio).publish(2, picks(4))  # the next holder takes over what was sent
    assert studio.served != before
    assert studio.predictions[studio.served] == 4
    assert len(studio.predictions) == 2
