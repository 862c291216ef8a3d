"""Connecting projects and noting events, whichever server hosts the backend."""

from contextlib import closing

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.access import client_for
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.errors import AuthError, BadRequest, ConfigError, UnknownProject
from pt4al_backend.server.backend import Backend
from pt4al_backend.server.requests import SetupRequest, project_number
from pt4al_backend.state.store import Store
from tests.support.bodies import CONFIG
from tests.support.queues import taken


@pytest.fixture
def queue(settings: ServerSettings) -> WorkQueue:
    return WorkQueue(settings)


@pytest.fixture
def backend(settings: ServerSettings, store: Store, queue: WorkQueue) -> Backend:
    return Backend(settings, store, queue)


def request(config: str = CONFIG, **fields: object) -> SetupRequest:
    return SetupRequest.from_fields({"project": 3, "schema": config, **fields})


@pytest.mark.parametrize("reference", [3, "3", "3.1795241480", "3."])
def test_project_number_reads_every_form(reference: object) -> None:
    assert project_number(reference) == 3


@pytest.mark.parametrize(
    "reference", [0, -1, 3.0, True, None, "", ".3", "-3", " 3", "3 ", "³", "x", 2**63, "1" * 5000, b"3", [3]]
)
def test_project_number_refuses_what_is_none(reference: object) -> None:
    with pytest.raises(BadRequest) as caught:
        project_number(reference)
    assert len(str(caught.value)) < 150


def test_connect_keeps_what_the_request_leaves_out(backend: Backend, store: Store) -> None:
    backend.connect(request(hostname="http://a/", access_token="t", extra_params={"rounds": 3}))
    backend.connect(request(CONFIG.replace('"b"', '"c"')))
    project = store.project(3)
    assert project is not None
    assert (project.hostname, project.access_token, project.params) == ("http://a", "t", {"rounds": 3})
    assert '"c"' in project.label_config


PAIR = {"hostname": "https://label-studio.example", "access_token": "t" * 40}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({}, PAIR),
        ({"hostname": "https://label-studio.example/"}, PAIR),
        ({"hostname": "http://attacker.example"}, {"hostname": "http://attacker.example", "access_token": ""}),
        ({"hostname": "http://label-studio.example"}, {"hostname": "http://label-studio.example", "access_token": ""}),
        ({"hostname": ""}, {"hostname": "", "access_token": ""}),
        ({"hostname": None}, {"hostname": "", "access_token": ""}),
        ({"access_token": "u" * 40}, PAIR),
        ({**PAIR, "access_token": "u" * 40}, {**PAIR, "access_token": "u" * 40}),
        ({**PAIR, "access_token": None}, {**PAIR, "access_token": ""}),
        ({"hostname": "http://b", "access_token": "u" * 40}, {"hostname": "http://b", "access_token": "u" * 40}),
    ],
)
def test_stored_token_goes_to_no_other_address_than_its_own(
    backend: Backend, store: Store, second: dict[str, object], expected: dict[str, str]
) -> None:
    backend.connect(request(**PAIR))
    backend.connect(request(**second))
    project = store.project(3)
    assert project is not None
    assert {name: getattr(project, name) for name in PAIR} == expected


def test_token_never_goes_to_the_address_of_an_earlier_request(backend: Backend, store: Store, settings: ServerSettings) -> None:
    backend.connect(request(hostname="http://attacker.example"))
    backend.connect(request(access_token="t" * 40))
    project = store.project(3)
    assert project is not None
    with pytest.raises(AuthError, match="No token"):
        client_for(settings, project)


def test_strategy_unfit_for_the_main_task_is_refused(backend: Backend, store: Store) -> None:
    outlines = '<View><Image name="image" value="$image"/><BrushLabels name="l" toName="image">' + (
        '<Label value="a"/></BrushLabels></View>'
    )
    with pytest.raises(ConfigError, match="'badge' needs posteriors"):
        backend.connect(request(outlines, extra_params={"strategy": "badge"}))
    assert store.project(3) is None
    backend.connect(request(extra_params={"strategy": "badge"}))


def test_only_a_change_requests_a_look(backend: Backend, queue: WorkQueue) -> None:
    backend.connect(request(hostname="http://a"))
    assert taken(queue) == [3]
    backend.connect(request(hostname="http://a"))
    assert taken(queue) == []
    backend.connect(request(hostname="http://b"))
    assert taken(queue) == [3]


def test_refused_connection_changes_nothing(backend: Backend, store: Store, queue: WorkQueue) -> None:
    backend.connect(request(extra_params={"rounds": 3}))
    with pytest.raises(ConfigError, match="'k'"):
        backend.connect(request(CONFIG.replace('"b"', '"c"'), hostname="http://b", extra_params={"k": 1}))
    project = store.project(3)
    assert project is not None
    assert (project.label_config, project.hostname, project.params) == (CONFIG, "", {"rounds": 3})
    assert queue.waiting() == 1


def test_requests_outlive_the_process(backend: Backend, settings: ServerSettings) -> None:
    backend.connect(request())
    backend.note(3, "START_TRAINING")
    backend.close()
    assert WorkQueue(settings).waiting() == 1
    with closing(Store.open(settings)) as store:
        project = store.project(3)
    assert project is not None
    assert project.trainings_requested == 1


def test_event_of_an_unknown_project_is_refused(backend: Backend, queue: WorkQueue) -> None:
    with pytest.raises(UnknownProject, match="Project 4 is not connected"):
        backend.note(4, "ANNOTATION_CREATED")
    assert queue.waiting() == 0


def test_setup_resumes_a_project_that_was_let_go(backend: Backend, store: Store, queue: WorkQueue) -> None:
    backend.connect(request())
    store.let_go(3, let_go_at=1.0, phase="not connected", notices={"connection": "Not connected any more."})
    assert store.driven_ids() == []
    taken(queue)
    backend.connect(request())
    assert store.driven_ids() == [3]
    assert taken(queue) == [3]
    project = store.project(3)
    assert project is not None
    assert (project.phase, project.notices) == ("connected", {})
