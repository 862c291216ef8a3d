"""Databases of earlier versions, with data, are brought to this one."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state import migrations
from pt4al_backend.state.paths import project_name
from pt4al_backend.state.schema import AnswerKind, Base, PublicationState, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

PROJECT = {
    "id": 7,
    **dict.fromkeys(("params", "progress", "notices", "quality"), "{}"),
    **dict.fromkeys(("title", "label_config", "hostname", "access_token", "phase", "error", "remedy"), ""),
    **dict.fromkeys(("synced_until", "config_read", "learner", "model", "served_version"), ""),
    **dict.fromkeys(("full_sync_at", "round", "learner_pool"), 0),
    "view_made": False,
}
TASK = {"project_id": 7, "image": "/data/upload/7/a.png", "problem": "", "row": 0, "loss": 0.5, "batch": 3, "note": ""}


def insert(connection: Connection, table: str, row: Mapping[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), dict(row))


def made(url: str, revision: str, *rows: tuple[str, Mapping[str, Any]]) -> None:
    """A database of an earlier version that holds rows."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for table, row in rows:
            insert(connection, table, row)
    engine.dispose()


def test_migrations_make_the_tables_that_the_code_uses(url: str, store: Store) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_several_processes_may_migrate_at_once(url: str) -> None:
    stores, errors = [Store(url) for _ in range(4)], []

    def migrate(one: Store) -> None:
        try:
            one.migrate()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert stores[0].project_ids() == []
    for one in stores:
        one.close()


def test_state_of_square_images_keeps_its_answers_and_is_fetched_again(url: str) -> None:
    project = {
        **PROJECT,
        **{"image_size": 96, "stored_size": 112, "learner": "projects/7/rank-1/result", "learner_pool": 2},
        **dict.fromkeys(("asked", "train_asked", "train_done", "lease_until"), 0),
        "lease_owner": "",
    }
    labelled = {**TASK, "id": 1, "answer": "label", "label": "cat", "accepted": False}
    made(
        url,
        "0001",
        ("projects", project),
        ("tasks", labelled),
        ("tasks", {**labelled, "id": 2, "answer": "", "label": ""}),
    )
    store = Store(url)
    store.migrate()
    found, pool, answers = store.project(7), store.tasks(7), store.answers(7)
    due = store.to_fetch(7, time.time())
    store.close()
    assert found is not None
    # the intake starts over where a shape was stored for another task
    assert (found.task, found.image_shape, found.stored_shape) == ("", (96, 96), (112, 112))
    assert (found.learner, found.learner_pool) == ("", 0)
    assert answers == {1: StoredAnswer(AnswerKind.LABEL, "cat")}
    assert [i for i, _ in due] == [1, 2]
    assert np.isnan(pool.losses).all()
    assert pool.batches.tolist() == [0, 0]


def test_state_of_the_version_before_is_found_again(url: str) -> None:
    project = {
        **PROJECT,
        **{"title": "Kittens", "round": 2, "learner": "projects/7/rank-1/result", "model": "projects/7/learn-1/result"},
        **{"asked": 31, "train_asked": 3, "train_done": 2, "lease_owner": "4711-abc", "lease_until": time.time() + 9},
        **{"task": "classification", "asked_size": 64, "served_version": "pt4al-r2-20261121-061208"},
        **dict.fromkeys(("image_height", "image_width", "stored_height", "stored_width"), 64),
    }
    task = {**TASK, "width": 80, "height": 60, "accepted": False, "stamp": "", "label": ""}
    pick = {"project_id": 7, "round": 2, "score": 0.5, "label": "", "confidence": None}
    round_ = {"project_id": 7, "batch": 1, "opened_at": 5.0, "model": "", "labels": 0, "digest": ""}
    publication = {"project_id": 7, "digest": "d", "picks": 3, "round": 2}
    made(
        url,
        "0002",
        ("projects", project),
        ("tasks", {**task, "id": 1, "answer": "label", "label": "cat", "stamp": "s"}),
        ("tasks", {**task, "id": 2, "answer": "skip", "row": 1}),
        ("tasks", {**task, "id": 3, "answer": "", "row": 2}),
        ("rounds", {**round_, "number": 1, "state": "closed", "control": "{}", "seconds": "{}"}),
        ("rounds", {**round_, "number": 2, "state": "open", "control": "{}", "seconds": "{}"}),
        *(
            ("picks", {**pick, "task_id": position, "position": position, "kind": kind})
            for position, kind in enumerate(("control", "query", "reserve"), 1)
        ),
        ("publications", {**publication, "version": "pt4al-r1-a", "state": "old", "at": 1.0}),
        ("publications", {**publication, "version": "pt4al-r2-20261121-061208", "state": "live", "at": 2.0}),
    )
    store = Store(url)
    store.migrate()
    found = store.project(7)
    assert found is not None
    assert (found.title, found.round, found.model) == ("Kittens", 2, "projects/7/learn-1/result")
    assert project_name(found) == "projects/7", "its files would be made again"
    assert (found.requests, found.requests_handled) == (31, 31)
    assert (found.trainings_requested, found.trainings_handled, found.requested_size) == (3, 2, 64)
    assert (found.image_shape, found.learner) == ((64, 64), "projects/7/rank-1/result")
    assert store.answers(7) == {1: StoredAnswer(AnswerKind.LABEL, "cat", stamp="s"), 2: StoredAnswer(AnswerKind.SKIP)}
    pool = store.tasks(7)
    assert (pool.answered.tolist(), pool.labelled.tolist()) == ([True, True, False], [True, False, False])
    assert (pool.losses.tolist(), pool.rows.tolist()) == ([0.5] * 3, [0, 1, 2])
    counts = {"tasks": 3, "pool": 3, "fetched": 3, "scored": 3, "labelled": 1, "skipped": 1, "aside": 0}
    assert (store.counts(7), store.batch_sizes(7)) == (counts, [0, 0, 3])
    assert [each.state for each in store.rounds(7)] == [RoundState.CLOSED, RoundState.OPEN]
    assert [each.kind for each in store.picks(7, 2)] == [PickKind.CONTROL, PickKind.QUERY, PickKind.RESERVE]
    assert [each.version for each in store.publications(7, PublicationState.LIVE)] == [found.served_version]
    with store.lease(7) as lease:
        assert lease  # whatever held it before the upgrade
    store.close()


def test_annotators_of_an_older_state_are_read_by_a_full_pass(url: str) -> None:
    old = {**PROJECT, "full_sync_at": 1e9}
    for name in ("params", "chosen_before"):
        old[name] = "{}"
    empty = ("backend_host", "control_read", "task", "encoder")
    zero = ("setup_at", "requests", "requests_handled", "trainings_requested", "trainings_handled", "next_row")
    old |= {**dict.fromkeys(empty, ""), **dict.fromkeys(zero, 0), "listed": True, "frames_suspect": False}
    made(url, "0010", ("projects", old))
    store = Store(url)
    store.migrate()
    found = store.project(7)
    assert found is not None
    assert found.full_sync_at == 0
    assert store.annotators(7) == []
    store.close()


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_downgrade_restores_the_columns(url: str, store: Store, revision: str) -> None:
    store.connect(7)
    store.put_tasks(7, [{"id": 1, "image": "a.png", "problem": ""}])
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        assert connection.execute(text("SELECT asked, train_asked, train_done, lease_owner FROM projects")).all() == [
            (0, 0, 0, "")
        ]
        assert connection.execute(text("SELECT answer FROM tasks")).all() == [("",)]
    engine.dispose()
    store.migrate()
    assert store.tasks(7).answered.tolist() == [False]
