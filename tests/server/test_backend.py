"""Connecting projects and noting events, whoever hosts the backend."""

from collections.abc import Iterator

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.queue import Queue
from pt4al_backend.errors import BadRequest, ConfigError, UnknownProject
from pt4al_backend.server.backend import Backend, project_number
from pt4al_backend.state.store import Store
from tests.support.bodies import CONFIG


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    opened = Store.open(settings)
    yield opened
    opened.close()


@pytest.fixture
def queue(settings: ServerSettings) -> Queue:
    return Queue(settings)


@pytest.fixture
def serving(settings: ServerSettings, store: Store, queue: Queue) -> Backend:
    return Backend(settings, store, queue)


@pytest.mark.parametrize("reference", [3, "3", "3.1795241480", "3."])
def test_a_project_is_known_by_each_of_its_names(reference: object) -> None:
    assert project_number(reference) == 3


@pytest.mark.parametrize(
    "reference", [0, -1, 3.0, True, None, "", ".3", "-3", " 3", "3 ", "³", "x", 2**63, "1" * 5000, b"3", [3]]
)
def test_what_names_no_project_is_refused_in_few_words(reference: object) -> None:
    with pytest.raises(BadRequest) as caught:
        project_number(reference)
    assert len(str(caught.value)) < 150


def test_what_label_studio_did_not_say_stays(serving: Backend, store: Store) -> None:
    serving.connect(3, CONFIG, hostname="http://a/", access_token="t", extra_params={"rounds": 3})
    serving.connect(3, CONFIG.replace('"b"', '"c"'))
    project = store.project(3)
    assert project is not None
    assert (project.hostname, project.access_token, project.params) == ("http://a", "t", {"rounds": 3})
    assert '"c"' in project.label_config


def test_a_strategy_that_the_main_task_has_nothing_for_is_refused(serving: Backend, store: Store) -> None:
    outlines = '<View><Image name="image" value="$image"/><BrushLabels name="l" toName="image">' + (
        '<Label value="a"/></BrushLabels></View>'
    )
    with pytest.raises(ConfigError, match="'badge' needs a posterior"):
        serving.connect(3, outlines, extra_params={"strategy": "badge"})
    assert store.project(3) is None
    serving.connect(3, CONFIG, extra_params={"strategy": "badge"})


def test_only_a_change_asks_for_a_look(serving: Backend, queue: Queue) -> None:
    for _ in range(3):
        serving.connect(3, CONFIG, hostname="http://a")
    assert queue.waiting() == 1
    serving.connect(3, CONFIG, hostname="http://b")
    assert queue.waiting() == 2


def test_a_refused_connection_leaves_the_project_as_it_was(serving: Backend, store: Store, queue: Queue) -> None:
    serving.connect(3, CONFIG, extra_params={"rounds": 3})
    with pytest.raises(ConfigError, match="'k'"):
        serving.connect(3, CONFIG.replace('"b"', '"c"'), hostname="http://b", extra_params={"k": 1})
    project = store.project(3)
    assert project is not None
    assert (project.label_config, project.hostname, project.params) == (CONFIG, "", {"rounds": 3})
    assert queue.waiting() == 1


def test_an_event_is_asked_for_durably(serving: Backend, settings: ServerSettings) -> None:
    serving.connect(3, CONFIG)
    serving.note(3, "START_TRAINING")
    assert Queue(settings).waiting() == 2


def test_an_event_of_an_unknown_project_is_not(serving: Backend, queue: Queue) -> None:
    with pytest.raises(UnknownProject, match="'4'"):
        serving.note(4, "ANNOTATION_CREATED")
    assert queue.waiting() == 0
