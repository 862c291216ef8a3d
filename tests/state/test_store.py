"""The state, on SQLite and on PostgreSQL alike."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from pt4al_backend.state import migrations
from pt4al_backend.state import store as store_module
from pt4al_backend.state.schema import Base, Pick, Publication, Round
from pt4al_backend.state.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state.sqlite3'}"
        return
    server: str = request.getfixturevalue("postgresql_url")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    yield server


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store(url)
    opened.migrate()
    yield opened
    opened.close()


def tasks(*ids: int) -> list[dict[str, object]]:
    return [{"id": i, "image": f"/data/upload/{i}.png", "problem": ""} for i in ids]


def test_the_migrations_make_the_tables_that_the_code_uses(url: str, store: Store) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_a_state_of_square_images_keeps_its_answers_and_is_fetched_and_ranked_anew(url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        project = {
            **{"id": 7, "image_size": 96, "stored_size": 112, "learner": "projects/7/rank-1/result", "learner_pool": 2},
            **dict.fromkeys(("params", "progress", "notices", "quality"), "{}"),
            **dict.fromkeys(("title", "label_config", "hostname", "access_token", "phase", "error", "remedy"), ""),
            **dict.fromkeys(("lease_owner", "synced_until", "config_read", "model", "served_version"), ""),
            **dict.fromkeys(("asked", "train_asked", "train_done", "lease_until", "full_sync_at", "round"), 0),
            "view_made": False,
        }
        task = {"project_id": 7, "image": "/data/upload/7/a.png", "problem": "", "row": 0, "loss": 0.5, "batch": 3, "note": ""}
        for table, row in (
            ("projects", project),
            ("tasks", {**task, "id": 1, "answer": "label", "label": "cat", "accepted": False}),
            ("tasks", {**task, "id": 2, "answer": "", "label": "", "accepted": False}),
        ):
            names = ", ".join(f'"{name}"' for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)
    engine.dispose()
    store = Store(url)
    store.migrate()
    found, pool, answers = store.project(7), store.tasks(7), store.answers(7)
    due = store.to_fetch(7, time.time())
    store.close()
    assert found is not None
    # the intake starts over where a shape was stored for another task
    assert (found.task, found.image_shape, found.stored_shape) == ("", (96, 96), (112, 112))
    assert (found.learner, found.learner_pool) == ("", 0)
    assert {i: (said.answer, said.label) for i, said in answers.items()} == {1: ("label", "cat")}
    assert [i for i, _ in due] == [1, 2]
    assert np.isnan(pool.losses).all()
    assert pool.batches.tolist() == [0, 0]


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


def test_connecting_twice_keeps_what_was_learned(store: Store) -> None:
    store.connect(7, title="birds", label_config="<View/>")
    store.update(7, learner="projects/7/rank-1/result", round=3)
    store.connect(7, title="more birds", label_config="<View/>")
    project = store.project(7)
    assert project is not None
    assert (project.title, project.learner, project.round) == ("more birds", "projects/7/rank-1/result", 3)


def test_a_task_that_gets_another_image_forgets_the_old_one_and_keeps_its_answer(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1, 2))
    store.set_tasks(1, {"id": [1, 2], "row": [0, 1], "loss": [0.5, 0.25], "batch": [1, 2]})
    store.put_answers(1, [{"id": 1, "answer": "label", "label": "cat", "accepted": False, "note": ""}])
    store.put_tasks(1, [{"id": 1, "image": "/data/upload/other.png", "problem": ""}])
    pool = store.tasks(1)
    assert pool.rows.tolist() == [-1, 1]
    assert np.isnan(pool.losses[0])
    assert pool.losses[1] == 0.25
    assert pool.labelled.tolist() == [True, False]
    assert store.to_fetch(1, time.time()) == [(1, "/data/upload/other.png")]


def test_a_task_that_was_deleted_meanwhile_does_not_stop_the_others(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1, 2))
    store.set_tasks(1, {"id": [1, 2, 3], "loss": [0.5, 0.25, 0.125]})
    store.put_answers(1, [{"id": i, "answer": "skip", "label": "", "accepted": False, "note": ""} for i in (3, 2)])
    assert store.tasks(1).losses.tolist() == [0.5, 0.25]
    assert store.tasks(1).answered.tolist() == [False, True]


def test_a_loss_keeps_all_its_digits(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1))
    loss = 1.0 / 3.0 + 1e-15
    store.set_tasks(1, {"id": [1], "loss": np.array([loss])})
    assert store.tasks(1).losses[0] == loss


def test_a_task_set_aside_is_fetched_again_only_when_its_time_has_come(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(1, 2, 3))
    store.set_tasks(1, {"id": [1, 2], "problem": ["no answer", "not an image"], "retry_at": [100.0, None]})
    assert [i for i, _ in store.to_fetch(1, now=99.0)] == [3]
    assert [i for i, _ in store.to_fetch(1, now=101.0)] == [1, 3]
    assert store.set_aside(1) == (2, [(1, "no answer"), (2, "not an image")])


def test_counts_add_up(store: Store) -> None:
    store.connect(1)
    store.put_tasks(1, tasks(*range(1, 1201)))
    store.set_tasks(1, {"id": list(range(1, 1001)), "row": list(range(1000))})
    store.put_answers(
        1, [{"id": i, "answer": "skip" if i > 3 else "label", "label": "", "accepted": False, "note": ""} for i in (1, 2, 3, 4)]
    )
    store.set_tasks(1, {"id": [2, 5, 6], "answer": ["label", "skip", "skip"], "note": ["In part.", "Damaged.", "Damaged."]})
    store.set_tasks(1, {"id": [6, 7], "problem": ["not an image", "not an image"]})
    counts = {"tasks": 1200, "pool": 1198, "fetched": 1000, "scored": 0, "labelled": 3, "skipped": 1, "aside": 3}
    assert store.counts(1) == counts
    assert store.next_row(1) == 1000
    store.drop_tasks(1, range(1, 1201))
    assert store.counts(1) == dict.fromkeys(counts, 0)


def test_turning_a_round_closes_the_old_one_and_replaces_a_starting_one(store: Store) -> None:
    def pick(number: int, task: int, kind: str) -> Pick:
        return Pick(project_id=1, round=number, task_id=task, position=task, kind=kind, score=task / 100)

    store.connect(1)
    store.turn_round(1, Round(project_id=1, number=1, state="starting"), [pick(1, 1, "control"), pick(1, 2, "reserve")])
    store.turn_round(1, Round(project_id=1, number=1, state="open"), [pick(1, 1, "control"), pick(1, 9, "query")])
    assert [p.task_id for p in store.picks(1, 1)] == [1, 9]
    store.turn_round(1, Round(project_id=1, number=2, state="open"), [pick(2, 3, "control")], closed={"labels": 5}, model="m")
    project = store.project(1)
    assert project is not None
    assert (project.round, project.model) == (2, "m")
    assert [(r.number, r.state, r.labels) for r in store.rounds(1)] == [(1, "closed", 5), (2, "open", 0)]
    assert store.control_ids(1).tolist() == [1, 3]
    assert store.picks_of(1, 2, [1, 3]).keys() == {3}


def test_one_version_is_live_at_a_time(store: Store) -> None:
    store.connect(1)
    for at, version in enumerate(("a", "b")):
        store.announce(Publication(project_id=1, version=version, round=1, state="sending", digest="", picks=1, at=float(at)))
        store.go_live(1, version)
    assert [p.version for p in store.publications(1, "live")] == ["b"]
    assert [p.version for p in store.publications(1, "old")] == ["a"]


def test_only_one_holds_a_project_and_a_dead_holder_loses_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.connect(1)
    with store.lease(1) as first, store.lease(1) as second:
        assert (first, second) == (True, False)
    with store.lease(1) as again:
        assert again
    store.update(1, lease_owner="a process that was killed", lease_until=time.time() - 0.001)
    with store.lease(1) as taken_over:
        assert taken_over


def test_a_holder_keeps_its_lease_for_longer_than_it_lasts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LEASE_SECONDS", 0.4)
    store.connect(1)
    with store.lease(1) as held:
        assert held
        first = store.project(1)
        assert first is not None
        deadline = first.lease_until + 0.2
        while time.time() < deadline:
            with store.lease(1) as other:
                assert not other


def test_notices_are_kept_by_topic(store: Store) -> None:
    store.connect(1)
    store.notice(1, "webhook", "There is none.")
    store.notice(1, "schedule", "Too small.")
    store.notice(1, "webhook", "")
    project = store.project(1)
    assert project is not None
    assert project.notices == {"schedule": "Too small."}


def test_a_reader_is_not_held_up_by_a_writer(store: Store) -> None:
    """The web process reads while the worker writes, and must answer within milliseconds."""
    store.connect(1)
    stop, failures = threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                store.put_tasks(1, tasks(*range(number * 1000, number * 1000 + 500)))
            except Exception as error:
                failures.append(error)
                return

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for number in range(50):
        store.ask(1)
        project = store.project(1)
        assert project is not None
        assert project.asked == number + 1
    stop.set()
    for writer in writers:
        writer.join()
    assert not failures
