"""When a training that failed is tried again."""

import pytest

from pt4al_backend.engine import retries as retries_module
from pt4al_backend.engine.retries import Retries
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.state.schema import Project


class Clock:
    now = 1_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retries_module, "time", clock)
    return clock


def project(**columns: object) -> Project:
    return Project(**{"id": 1, "trainings_requested": 0, "params": {}, "label_config": "<View/>", **columns})


def test_failed_training_waits_longer_each_time(clock: Clock) -> None:
    retries = Retries()
    for wait in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        retries.failed(project(), JobKind.LEARN)
        clock.now += wait - 1
        assert not retries.may_run(project(), JobKind.LEARN)
        clock.now += 1
        assert retries.may_run(project(), JobKind.LEARN)


@pytest.mark.parametrize("change", [{"trainings_requested": 1}, {"params": {"epochs": 3}}, {"label_config": "<View></View>"}])
def test_people_may_end_the_wait(clock: Clock, change: dict[str, object]) -> None:
    retries = Retries()
    retries.failed(project(), JobKind.LEARN)
    assert retries.may_run(project(**change), JobKind.LEARN)


def test_failure_holds_back_only_its_own_kind_of_training_and_project(clock: Clock) -> None:
    retries = Retries()
    retries.failed(project(), JobKind.LEARN)
    assert retries.may_run(project(), JobKind.RANK)
    assert retries.may_run(project(id=2), JobKind.LEARN)


def test_success_forgets_failures(clock: Clock) -> None:
    retries = Retries()
    retries.failed(project(), JobKind.LEARN)
    retries.succeeded(project(), JobKind.LEARN)
    assert retries.may_run(project(), JobKind.LEARN)
