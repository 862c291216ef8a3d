"""What is computed beside the looks goes on, whatever fails."""

from threading import Event

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights.background import Insight, Insights
from pt4al_backend.engine.snapshot import Snapshot
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.filled import PROJECT, fill


def fail_with(error: Exception, calls: list[int]) -> Insight:
    def insight(snapshot: Snapshot) -> None:
        calls.append(snapshot.project.round)
        raise error

    return insight


@pytest.fixture
def filled(store: Store, settings: ServerSettings) -> Store:
    fill(store, settings)
    return store


def test_what_failed_is_not_tried_again_at_each_look(filled: Store, settings: ServerSettings) -> None:
    calls: list[int] = []
    insights = Insights(settings, filled, [fail_with(OSError("The model is gone."), calls)])
    insights.refresh(PROJECT)
    insights.refresh(PROJECT)
    assert len(calls) == 1


def test_what_failed_is_tried_again_once_the_project_got_on(filled: Store, settings: ServerSettings) -> None:
    calls: list[int] = []
    insights = Insights(settings, filled, [fail_with(OSError("The model is gone."), calls)])
    insights.refresh(PROJECT)
    filled.change(PROJECT, round=9)
    insights.refresh(PROJECT)
    assert calls[1:] == [9]


def test_database_that_fails_once_ends_nothing(filled: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, computed = Event(), Event()
    read = filled.project

    def project(number: int) -> Project | None:
        if not failed.is_set():
            failed.set()
            raise OSError("The database cannot be reached.")
        return read(number)

    monkeypatch.setattr(filled, "project", project)
    insights = Insights(settings, filled, [lambda _: computed.set()])
    insights.start()
    insights.request(PROJECT)
    assert failed.wait(30)
    insights.request(PROJECT)
    assert computed.wait(30)
