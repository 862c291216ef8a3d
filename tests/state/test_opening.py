"""Opening the state: what goes wrong says what to change, and doing that helps."""

from pathlib import Path

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.state.opening import StateAway, open_store


def test_damaged_state_is_named_with_files_to_delete(settings: ServerSettings) -> None:
    open_store(settings).close()
    path = settings.data_dir / "state.sqlite3"
    path.write_bytes(b"\x5a" * 8192)
    with pytest.raises(ConfigError, match="The file of the state is damaged") as caught:
        open_store(settings)
    assert not isinstance(caught.value, StateAway), "waiting does not help"
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        assert str(name) in caught.value.remedy
        name.unlink(missing_ok=True)
    store = open_store(settings)
    assert store.project_ids() == []
    store.close()


def test_database_that_does_not_answer_may_be_waited_for() -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    with pytest.raises(StateAway) as caught:
        open_store(ServerSettings(database_url="postgresql://user:secret@127.0.0.1:9/state"))
    assert "secret" not in str(caught.value)
