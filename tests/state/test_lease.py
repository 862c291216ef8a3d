"""The lease of a project, between processes: what a kill frees, what a stop does not, and what its holder notices."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pt4al_backend.state.lease import LeaseLost, locked
from pt4al_backend.state.store import Store

HOLDER = """
import sys
from pt4al_backend.state.store import Store

with Store(sys.argv[1]).lease(1) as lease:
    print("held" if lease else "refused", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(url: str, expected: str = "held") -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds project 1 until its input ends."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == expected
        yield process
    finally:
        process.kill()
        process.communicate()


def test_project_has_one_holder_at_a_time(store: Store) -> None:
    with store.lease(1) as first, store.lease(1) as second, store.lease(2) as another:
        assert first
        assert second is None
        assert another
        first.require()
    with store.lease(1) as again:
        assert again


def test_error_in_a_holder_frees_the_project(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.lease(1):
        raise ZeroDivisionError
    with store.lease(1) as lease:
        assert lease


def test_another_process_is_refused(url: str, store: Store) -> None:
    with store.lease(1) as lease, holder(url, "refused"):
        assert lease


def test_killed_holder_loses_the_project_at_once(url: str, store: Store) -> None:
    with holder(url) as process:
        with store.lease(1) as lease:
            assert lease is None
        process.kill()
        process.wait()
        assert is_free(store)


def test_stopped_holder_keeps_the_project(url: str, store: Store) -> None:
    with holder(url) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with store.lease(1) as lease:
            assert lease is None
        os.kill(process.pid, signal.SIGCONT)
        with store.lease(1) as lease:
            assert lease is None
        process.communicate("")
        assert is_free(store)


def is_free(store: Store, tries: int = 500) -> bool:
    """Whether the project can be taken. PostgreSQL needs some milliseconds to notice that a client is gone."""
    for _ in range(tries):
        with store.lease(1) as lease:
            if lease:
                return True
    return False


def test_holder_notices_that_its_connection_is_lost(postgresql_url: str) -> None:
    store, engine = Store(postgresql_url), create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    end = text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    with store.lease(1) as lease, engine.connect() as admin:
        assert lease
        assert not lease.lost
        admin.execute(end)
        assert lease.lost
        with store.lease(1) as other:
            assert other
            assert lease.lost  # it does not come back with a new connection
            with pytest.raises(LeaseLost):
                lease.require()
            assert not other.lost
    engine.dispose()
    store.close()


def test_holder_notices_that_the_data_folder_was_deleted(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    with store.lease(1) as lease:
        assert lease
        assert not lease.lost
        (tmp_path / "leases" / "project-1").unlink()
        assert lease.lost
    store.close()


def test_file_is_free_again_though_a_forked_child_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "leases" / "lease"
    read, write = os.pipe()
    with locked(path):
        child = os.fork()
        if not child:  # as another thread's child does until it becomes another program
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    with locked(path) as lease:
        assert lease is not None
    os.close(write)
    os.close(read)
    os.waitpid(child, 0)
