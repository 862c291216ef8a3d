"""A look that finds little to do costs what changed, not the pool: against a stub of Label Studio that can be of any size."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from pt4al_backend.bench.numbers.looking import CONFIG, CONTROL, PROJECT, fill
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.worker import Worker
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store


@dataclass
class Reading:
    """What was asked of the database, and how many rows it handed out."""

    rows: int = 0
    statements: list[str] = field(default_factory=list)


@contextmanager
def reading() -> Iterator[Reading]:
    """Notes what is read from databases that are opened meanwhile."""
    seen = Reading()

    def on_connect(connection: Any, _record: Any) -> None:
        def count(_: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
            seen.rows += 1
            return row

        connection.row_factory = count

    def on_execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.statements.append(statement)

    event.listen(Engine, "connect", on_connect)
    event.listen(Engine, "before_cursor_execute", on_execute)
    try:
        yield seen
    finally:
        event.remove(Engine, "connect", on_connect)
        event.remove(Engine, "before_cursor_execute", on_execute)


@dataclass
class Looks:
    """A project of many tasks whose round is published."""

    stub: StubProject
    settings: ServerSettings
    store: Store
    waiting: list[int]
    seen: Reading

    @property
    def project(self) -> Project:
        found = self.store.project(PROJECT)
        assert found is not None
        return found

    def look(self) -> Reading:
        """A look; what it read."""
        before = self.seen.rows
        self.seen.statements.clear()
        Worker(self.settings, self.store).handle_request(PROJECT)
        assert self.project.error == ""
        return Reading(self.seen.rows - before, list(self.seen.statements))


@contextmanager
def looks(folder: Path, tasks: int) -> Iterator[Looks]:
    stub = StubProject(CONFIG, CONTROL, tasks)
    with StubStudio({PROJECT: stub}) as studio, reading() as seen:
        place = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": "0" * 40}
        settings = ServerSettings(data_dir=folder, device="cpu", pretrained="off", **place)
        waiting = fill(settings, tasks)
        store = Store.open(settings)
        found = Looks(stub, settings, store, waiting, seen)
        found.look()
        try:
            yield found
        finally:
            store.close()


@pytest.fixture
def fifty(tmp_path: Path) -> Iterator[Looks]:
    with looks(tmp_path / "fifty", 50) as found:
        yield found


def label_one(found: Looks) -> tuple[Reading, int]:
    """What a look reads that finds one label, and how many labels it has taken over."""
    before = found.store.counts(PROJECT)["labelled"]
    found.stub.put(found.waiting[0], f"{found.waiting[0]}.png", "odd")
    read = found.look()
    return read, found.store.counts(PROJECT)["labelled"] - before


def test_look_that_finds_a_label_reads_as_many_rows_of_any_pool(fifty: Looks, tmp_path: Path) -> None:
    small, taken = label_one(fifty)
    assert taken == 1
    with looks(tmp_path / "more", 500) as five_hundred:
        large, taken = label_one(five_hundred)
    assert taken == 1
    assert large.rows == small.rows
    assert len(large.statements) == len(small.statements)


def test_look_that_finds_nothing_imports_nothing_again(fifty: Looks) -> None:
    sent = fifty.stub.imported
    served = fifty.project.served_version
    fifty.look()
    assert (fifty.stub.imported, fifty.project.served_version) == (sent, served)


def test_pick_that_was_deleted_makes_the_queue_be_sent_again(fifty: Looks) -> None:
    served, sent = fifty.project.served_version, fifty.stub.imported
    picks = fifty.store.pick_count(PROJECT, 1)
    fifty.store.drop_tasks(PROJECT, fifty.waiting[:1])
    fifty.stub.tasks -= 1
    fifty.look()
    assert fifty.project.served_version != served
    assert fifty.stub.imported == sent + picks - 1


def test_predictions_that_are_to_be_hidden_are_sent_again_only_if_there_are_any(fifty: Looks) -> None:
    sent = fifty.stub.imported
    fifty.store.connect(PROJECT, params={"show_predictions": False})
    fifty.look()
    assert fifty.stub.imported == sent  # no model has answered anything yet


def test_full_pass_that_took_long_is_not_made_again_soon(fifty: Looks) -> None:
    an_hour_ago = time.time() - 3600
    fifty.store.change(PROJECT, full_sync_at=an_hour_ago, full_sync_took=1_000.0)
    fifty.look()
    assert fifty.project.full_sync_at == an_hour_ago
    fifty.store.change(PROJECT, full_sync_took=60.0)
    fifty.look()
    assert fifty.project.full_sync_at > an_hour_ago
    assert 0 < fifty.project.full_sync_took < 60
