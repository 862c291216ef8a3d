"""Columns that hold a frozen type as JSON."""

import pytest
from sqlalchemy import JSON, column, create_engine, table, update

from pt4al_backend.measures import Control, PretextQuality
from pt4al_backend.state.schema import Round, RoundState
from pt4al_backend.state.store import Store
from tests.support.rounds import PROJECT


def stored(url: str, name: str, key: str, value: object) -> None:
    """Writes a column as another version of the backend might have."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(table(name, column(key, JSON))).values({key: value}))
    engine.dispose()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, PretextQuality()),
        ({"accuracy": 0.5, "meaningful": True, "of_another_version": 7}, PretextQuality(accuracy=0.5, meaningful=True)),
        ({"accuracy": "much"}, PretextQuality()),
    ],
    ids=["nothing", "other entries", "unreadable"],
)
def test_quality_of_another_version_is_read_as_far_as_it_is_known(
    store: Store, url: str, value: object, expected: PretextQuality
) -> None:
    store.connect(PROJECT)
    stored(url, "projects", "quality", value)
    project = store.project(PROJECT)
    assert project is not None
    assert project.quality == expected


def test_progress_of_an_earlier_version_is_read_without_its_phase(store: Store, url: str) -> None:
    store.connect(PROJECT)
    stored(url, "projects", "progress", {"epoch": 3, "epochs": 10, "done": 5, "total": 10, "eta": 42.5, "note": "Resumed."})
    project = store.project(PROJECT)
    assert project is not None
    assert (project.progress.share, project.progress.eta) == (0.25, 42.5)


def test_measure_of_an_earlier_version_keeps_its_value(store: Store, url: str) -> None:
    store.connect(PROJECT)
    store.open_round(PROJECT, Round(project_id=PROJECT, number=1, state=RoundState.OPEN), [])
    stored(url, "rounds", "control", {"metric": "accuracy", "value": 0.75, "correct": 3, "total": 4})
    assert [each.control for each in store.rounds(PROJECT)] == [Control(metric="accuracy", value=0.75, total=4)]
