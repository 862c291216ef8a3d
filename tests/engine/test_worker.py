"""How requests become looks, and what is left of a look that fails; without Label Studio."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine import reconcile as reconcile_module
from pt4al_backend.engine import worker as worker_module
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.during_jobs import SettingsChanged
from pt4al_backend.engine.work_queue import WorkQueue, start_training
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.state.lease import Lease, LeaseLost
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.queues import taken
from tests.support.trainings import known


@pytest.fixture
def store(store: Store) -> Store:
    store.connect(1, error="An old error.", remedy="Change something.", error_at=1.0)
    return store


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Outcome]]:
    """What the next looks come to; each takes one."""
    coming: list[Callable[[], Outcome]] = []
    monkeypatch.setattr(worker_module, "connect", lambda *_: None)
    monkeypatch.setattr(worker_module, "reconcile", lambda _: coming.pop(0)())
    return coming


def done() -> Outcome:
    return Outcome.DONE


def fails(error: Exception) -> Callable[[], Outcome]:
    def look() -> Outcome:
        raise error

    return look


def test_look_that_is_done_clears_the_error(settings: ServerSettings, store: Store, looks: list[Any]) -> None:
    looks.append(done)
    Worker(settings, store).handle_request(1)
    found = known(store)
    assert (found.error, found.remedy, found.error_at) == ("", "", None)
    assert (found.requests, found.requests_handled) == (1, 1)


def test_withheld_training_keeps_its_error(settings: ServerSettings, store: Store, looks: list[Any]) -> None:
    looks.append(lambda: Outcome.WITHHELD)
    Worker(settings, store).handle_request(1)
    assert (known(store).error, known(store).requests_handled) == ("An old error.", 1)


def test_error_is_stored_with_its_remedy(settings: ServerSettings, store: Store, looks: list[Any]) -> None:
    looks.append(fails(TrainingImpossible("The loss became nan.", "Lower learning_rate.")))
    Worker(settings, store).handle_request(1)
    found = known(store)
    assert (found.phase, found.error, found.remedy) == ("blocked", "The loss became nan.", "Lower learning_rate.")
    assert found.requests_handled == 1


def test_unexpected_error_is_stored_without_its_text(settings: ServerSettings, store: Store, looks: list[Any]) -> None:
    looks.append(fails(RuntimeError("a secret")))
    Worker(settings, store).handle_request(1)
    assert known(store).error == "Internal error: RuntimeError."


def test_request_during_a_look_gets_another_look(settings: ServerSettings, store: Store, looks: list[Any]) -> None:
    def interrupted() -> Outcome:
        store.request(1)
        return Outcome.DONE

    looks += [interrupted, done]
    Worker(settings, store).handle_request(1)
    assert looks == []
    assert (known(store).requests, known(store).requests_handled) == (2, 2)


@pytest.mark.parametrize("reason", [SettingsChanged(), LeaseLost()])
def test_look_that_was_stopped_is_repeated_at_once(
    settings: ServerSettings, store: Store, looks: list[Any], reason: Exception
) -> None:
    looks += [fails(reason), done]
    Worker(settings, store).handle_request(1)
    assert looks == []
    assert known(store).requests_handled == 1


def test_request_for_a_project_that_is_held_is_left_to_its_holder(
    settings: ServerSettings, store: Store, looks: list[Any]
) -> None:
    with store.lease(1):
        Worker(settings, store).handle_request(1, train=True)
    found = known(store)
    assert (found.requests, found.requests_handled, found.trainings_requested) == (1, 0, 1)


def test_press_whose_message_is_lost_is_seen_by_the_next_look_and_counts_once(
    settings: ServerSettings, store: Store, looks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("UPDATE …", {}, Exception("connection refused"))

    queue = WorkQueue(settings)
    start_training(store, queue, 1)
    with monkeypatch.context() as outage:
        outage.setattr(store, "request", away)
        for project_id in taken(queue):
            with pytest.raises(OperationalError):
                Worker(settings, store).handle_request(project_id)
    pressed: list[int] = []

    def look() -> Outcome:
        pressed.append(known(store).trainings_requested - known(store).trainings_handled)
        store.change(1, trainings_handled=known(store).trainings_requested)
        return Outcome.DONE

    looks += [look, look]
    for _ in range(2):
        Worker(settings, store).handle_request(1)  # as the poll requests it
    assert pressed == [1, 0]


class Lent(Lease):
    """A lease that is lost after a number of questions."""

    def __init__(self, questions: int) -> None:
        self.questions = questions

    @property
    def lost(self) -> bool:
        self.questions -= 1
        return self.questions < 0


def test_lost_lease_stops_a_look_before_its_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def step(name: str) -> Callable[[Context], Outcome]:
        def run(_: Context) -> Outcome:
            steps.append(name)
            return Outcome.DONE

        return run

    monkeypatch.setattr(reconcile_module, "STEPS", (step("sync"), step("publish")))
    context: Any = type("Look", (), {"lease": Lent(1), "project": Project(id=1)})
    with pytest.raises(LeaseLost):
        reconcile_module.reconcile(context)
    assert steps == ["sync"]
