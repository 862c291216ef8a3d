"""Which projects are driven, what is set back when one is let go, and what is left of one that is forgotten."""

import json
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.disconnected import (
    Connections,
    NotConnected,
    choices_of,
    clear_forgotten,
    forget,
    let_go,
    put_back,
    replaced,
    require_known,
)
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.snapshot import Snapshot, Superseded
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import AuthError, ProjectBusy, UnknownProject
from pt4al_backend.label_studio.client import NotFound
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.server.backend import Backend
from pt4al_backend.server.requests import SetupRequest
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import Pick, Project, Publication, PublicationState, Round
from pt4al_backend.state.store import Store
from tests.support.images import LABEL_CONFIG
from tests.support.stub_server import Reply, Request, stub_server
from tests.support.trainings import known

SERVED = {"sampling": "Uncertainty sampling", "model_version": "pt4al-r1-20261129-101500"}
BEFORE = {"sampling": "Uniform sampling", "model_version": "vendor-1"}


@pytest.fixture
def store(store: Store) -> Store:
    store.connect(1, title="Kittens")
    return store


class Entries:
    """What Label Studio lists under Settings > Model; those named "ours" are this backend."""

    def __init__(self, *titles: str, state: str = "CO") -> None:
        self.titles = titles
        self.state = state

    def backends(self) -> list[dict[str, Any]]:
        return [{"title": title, "state": self.state} for title in self.titles]

    def ours(self, backends: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [backend for backend in backends if backend["title"] == "ours"]


def require(store: Store, *titles: str, state: str = "CO") -> None:
    entries: Any = Entries(*titles, state=state)
    Connections().require(store, known(store), entries)


def test_listed_project_is_driven_however_long_ago_its_setup_was(store: Store) -> None:
    require(store, "another", "ours")
    require(store, "ours")


def test_project_whose_entry_was_deleted_is_not_connected(store: Store) -> None:
    store.change(1, setup_at=time.time())
    require(store, "ours")
    with pytest.raises(NotConnected):
        require(store)


def test_entry_is_awaited_for_a_while_after_setup(store: Store) -> None:
    store.change(1, setup_at=time.time())
    require(store)
    store.change(1, setup_at=time.time() - 61)
    with pytest.raises(NotConnected):
        require(store)


def test_entry_that_cannot_be_reached_from_here_counts_while_its_setups_come(store: Store) -> None:
    store.change(1, setup_at=time.time(), listed=True)
    require(store, "another or out of reach")
    store.change(1, setup_at=time.time() - 61)
    with pytest.raises(NotConnected):
        require(store, "another")


def test_entry_that_label_studio_cannot_use_now_may_be_this_backend_restarting(store: Store) -> None:
    store.change(1, listed=True)
    require(store, "down", state="DI")


def test_entries_are_not_read_with_every_look(store: Store) -> None:
    connections, listed, gone = Connections(), Entries("ours"), Entries()
    connections.require(store, known(store), listed)  # type: ignore[arg-type]
    connections.require(store, known(store), gone)  # type: ignore[arg-type]
    with pytest.raises(NotConnected):
        connections.require(store, known(store), gone, now=True)  # type: ignore[arg-type]


def test_deleted_project_is_not_connected_unless_it_was_set_up_a_moment_ago(store: Store) -> None:
    class Studio:
        def whoami(self) -> dict[str, Any]:
            return {"id": 1}

    studio: Any = Studio()
    with pytest.raises(NotConnected, match="no such project"):
        require_known(store, known(store), studio, NotFound("Not found."))
    store.change(1, setup_at=time.time())
    with pytest.raises(NotFound):
        require_known(store, known(store), studio, NotFound("Not found."))


@pytest.mark.parametrize(
    ("remote", "choices"),
    [
        ({"sampling": "Uniform sampling", "model_version": "vendor-1"}, BEFORE),
        ({"sampling": None, "model_version": None}, {"sampling": "Sequential sampling", "model_version": ""}),
        ({"sampling": "Sequential sampling", "model_version": "PT4AL"}, {"sampling": "Sequential sampling", "model_version": ""}),
        (SERVED, {"sampling": "Sequential sampling", "model_version": ""}),
    ],
)
def test_choices_before_are_peoples_own(remote: dict[str, Any], choices: dict[str, str]) -> None:
    assert choices_of(remote, ["PT4AL"]) == choices


def test_only_choices_are_announced() -> None:
    assert replaced({"sampling": "Sequential sampling", "model_version": ""}) == ""
    assert "'vendor-1'" in replaced(BEFORE)


def set_back(store: Store, settings: ServerSettings, remote: dict[str, Any], *refused: str) -> tuple[list[Any], Project]:
    """Lets the project go; returns what was sent to Label Studio, which refuses these model versions."""
    store.change(
        1, chosen_before={**BEFORE, "carried": "vendor-1"}, served_version=SERVED["model_version"], error="An old error."
    )

    def answer(request: Request) -> Reply:
        if request.method == "PATCH" and request.json.get("model_version") in refused:
            return Reply(400, {"detail": "Model version doesn't exist."})
        return Reply(200, remote)

    with stub_server(answer) as (url, seen):
        there = settings.model_copy(update={"label_studio_url": url, "label_studio_api_key": "f" * 40})
        let_go(store, there, known(store), NotConnected("The entry is gone."))
        return [request.json for request in seen if request.method == "PATCH"], known(store)


def test_let_go_sets_back_what_was_chosen_before(store: Store, settings: ServerSettings) -> None:
    sent, after = set_back(store, settings, SERVED)
    assert sent == [BEFORE]
    assert (after.phase, after.served_version, after.chosen_before) == ("not connected", "", {})
    for part in ("The entry is gone.", "'Uniform sampling'", "'vendor-1'", "Settings > Model"):
        assert part in after.notices["connection"]


def test_let_go_leaves_what_people_have_chosen_since(store: Store, settings: ServerSettings) -> None:
    assert set_back(store, settings, {"sampling": "Sequential sampling", "model_version": "vendor-2"})[0] == []
    assert set_back(store, settings, {"sampling": "Sequential sampling", "model_version": None})[0] == []


def test_let_go_sets_back_the_version_if_the_queues_predictions_were_deleted(store: Store, settings: ServerSettings) -> None:
    assert set_back(store, settings, {**SERVED, "model_version": None})[0] == [BEFORE]


def test_let_go_sets_no_version_that_is_gone(store: Store, settings: ServerSettings) -> None:
    assert set_back(store, settings, SERVED, "vendor-1")[0] == [BEFORE, {**BEFORE, "model_version": ""}]


def test_let_go_without_label_studio_says_what_to_set_back(store: Store, settings: ServerSettings) -> None:
    store.change(1, chosen_before={**BEFORE, "carried": "vendor-1"})
    let_go(store, settings, known(store), NotConnected("The entry is gone."))
    assert "'Uniform sampling'" in known(store).notices["connection"]


def test_what_was_there_before_is_put_back_once_label_studio_answers(store: Store, settings: ServerSettings) -> None:
    store.change(1, chosen_before=BEFORE, served_version=SERVED["model_version"], paused_at=1.0, to_put_back=True)
    with pytest.raises(AuthError):
        put_back(store, settings, known(store))
    assert (known(store).to_put_back, known(store).chosen_before) == (True, BEFORE)
    with stub_server(lambda _: Reply(200, SERVED)) as (url, seen):
        there = settings.model_copy(update={"label_studio_url": url, "label_studio_api_key": "f" * 40})
        put_back(store, there, known(store))
    assert [request.json for request in seen if request.method == "PATCH"] == [BEFORE]
    after = known(store)
    assert (after.to_put_back, after.served_version, after.chosen_before, after.paused_at) == (False, "", {}, 1.0)
    assert "'Uniform sampling'" in after.notices["before"]


def test_project_that_was_let_go_is_neither_polled_nor_looked_at(store: Store, settings: ServerSettings) -> None:
    let_go(store, settings, known(store), NotConnected("The entry is gone."))
    assert store.driven_ids() == []
    assert store.project_ids() == [1]
    Worker(settings, store).handle_request(1, train=True)  # which would fail without a Label Studio
    after = known(store)
    assert (after.phase, after.error, after.requests_handled) == ("not connected", "", 1)


def full(store: Store, settings: ServerSettings) -> None:
    """A second project beside the first, both with rows in every table and with files."""
    store.connect(2)
    for number in (1, 2):
        store.put_tasks(number, [{"id": number, "image": "a.png", "problem": ""}])
        pick = Pick(project_id=number, round=1, task_id=number, position=0, kind=PickKind.QUERY, score=0.0)
        store.open_round(number, Round(project_id=number, number=1), [pick])
        store.announce(
            Publication(
                project_id=number,
                version="pt4al-1",
                round=1,
                state=PublicationState.LIVE,
                digest="",
                answered_by="",
                picks=1,
                at=0.0,
            )
        )
        folder = project_dir(settings, Project(id=number))
        folder.mkdir(parents=True)
        (folder / "pixels-8x8.u8").touch()


def test_forgotten_project_leaves_nothing_and_others_stay(store: Store, settings: ServerSettings) -> None:
    full(store, settings)
    forget(store, settings, 1)
    assert store.project_ids() == [2]
    assert not project_dir(settings, Project(id=1)).exists()
    for number, left in ((1, 0), (2, 1)):
        publications = store.publications(number, *PublicationState)
        rows = (store.rounds(number), store.picks(number, 1), publications, store.task_ids(number))
        assert [len(each) for each in rows] == [left] * 4
    assert (project_dir(settings, Project(id=2)) / "pixels-8x8.u8").exists()


def test_forgotten_project_leaves_nothing_for_other_hosts_and_says_what_could_not_be_deleted(
    store: Store, settings: ServerSettings, tmp_path: Path
) -> None:
    full(store, settings)
    theirs = tmp_path / "store" / "projects"
    for number in (1, 2):
        (theirs / str(number) / "learn-1").mkdir(parents=True)
    forget(store, settings.model_copy(update={"artefacts_url": f"file://{tmp_path}/store"}), 1)
    assert [path.name for path in theirs.iterdir()] == ["2"]
    said = forget(store, settings.model_copy(update={"artefacts_url": "no-such-protocol://store"}), 2)
    assert "in the artefact store are deleted as soon as that answers" in said
    assert store.project_ids() == []
    clear_forgotten(store, settings.model_copy(update={"artefacts_url": f"file://{tmp_path}/store"}))
    assert [*theirs.iterdir()] == []
    assert not any(each.shared for each in store.forgotten())


def connect(store: Store, settings: ServerSettings) -> Path:
    """What Label Studio's request to /setup does; returns the folder of what it connected."""
    request = {"project": "3.1", "schema": LABEL_CONFIG, "hostname": "http://studio"}
    Backend(settings, store, WorkQueue(settings)).connect(SetupRequest.from_json(json.dumps(request).encode()))
    return project_dir(settings, store.project(3))


def test_project_that_connects_again_takes_nothing_that_a_host_or_a_backup_has_of_it(
    store: Store, settings: ServerSettings, tmp_path: Path
) -> None:
    other = settings.model_copy(update={"data_dir": tmp_path / "other"})
    before = [connect(store, settings), project_dir(other, store.project(3))]
    for folder in before:
        folder.mkdir(parents=True)
    forget(store, settings, 3)
    assert [folder.exists() for folder in before] == [False, True]
    now = connect(store, settings)
    assert now == connect(store, settings)
    assert now.name not in {folder.name for folder in before}
    before[0].mkdir()  # from a backup
    now.mkdir()
    for host in (settings, other):
        clear_forgotten(store, host)
    assert [folder.exists() for folder in (*before, now)] == [False, False, True]


def test_forgotten_project_that_a_backup_of_the_state_brings_back_keeps_its_files(store: Store, settings: ServerSettings) -> None:
    full(store, settings)
    forget(store, settings, 1)
    store.connect(1)
    folder = project_dir(settings, known(store))
    folder.mkdir()
    clear_forgotten(store, settings)
    assert folder.exists()


def test_project_that_a_worker_is_at_is_not_forgotten(store: Store, settings: ServerSettings) -> None:
    full(store, settings)
    with store.lease(1), pytest.raises(ProjectBusy):
        forget(store, settings, 1)
    assert store.project_ids() == [1, 2]
    assert project_dir(settings, Project(id=1)).exists()


def test_what_is_computed_for_the_pages_writes_nothing_after_a_project_is_forgotten(
    store: Store, settings: ServerSettings
) -> None:
    full(store, settings)
    store.change(1, label_config=LABEL_CONFIG)
    begun, forgotten = Event(), Event()

    def write_late(snapshot: Snapshot) -> None:
        begun.set()
        with suppress(Superseded):
            while True:
                snapshot.require()
        forgotten.wait(0.5)  # no longer than that: it is waited for
        snapshot.folder.mkdir(parents=True, exist_ok=True)
        (snapshot.folder / "late").touch()

    background = Thread(target=Insights(settings, store, [write_late]).refresh, args=[1])
    background.start()
    assert begun.wait(30)
    forget(store, settings, 1)
    forgotten.set()
    background.join()
    assert not project_dir(settings, Project(id=1)).exists()


def test_unknown_project_cannot_be_forgotten(store: Store, settings: ServerSettings) -> None:
    with pytest.raises(UnknownProject):
        forget(store, settings, 9)
