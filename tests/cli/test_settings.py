"""Settings that are wrong, and a state that cannot be opened: one line that says what to change, from every command."""

import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pt4al_backend.config import ServerSettings
from pt4al_backend.demo.servers import free_port
from pt4al_backend.state.store import Store


@pytest.mark.parametrize("command", ["status", "doctor", "train"])
def test_misspelt_variable_is_named_with_the_right_one(run: Any, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("PT4AL_QUERRY_SIZE", "100")
    shown = run(command, *(["3"] if command == "train" else [])).output
    assert shown.count("PT4AL_QUERRY_SIZE is no setting") == 1
    assert "PT4AL_QUERY_SIZE?" in shown


@pytest.mark.parametrize("command", [["start"], ["web"], ["worker"], ["status"], ["doctor"], ["train", "1"]])
def test_wrong_setting_is_one_line_that_says_what_to_change(
    run: Any, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PT4AL_POLL_SECONDS", "-1")
    result = run(*command)
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "poll_seconds" in result.stderr.lower()
    assert "environment" in result.stderr


@pytest.mark.parametrize("command", ["start", "web", "worker", "status", "train 1", "forget 1"])
def test_wrong_setting_of_all_projects_is_one_line_that_names_its_variable(
    run: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("pt4al_query_size", "abc")
    result = run(*command.split())
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert "'pt4al_query_size': 'abc' is not allowed" in line
    assert line.endswith("Change it in the environment.")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("foo", "redis://"), ("http://127.0.0.1", "redis://"), ("redis://user:a-secret/word@127.0.0.1:6379", "%2F")],
)
@pytest.mark.parametrize("command", ["start", "status", "doctor"])
def test_url_that_is_none_of_redis_is_refused_without_showing_it(
    run: Any, command: str, url: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PT4AL_REDIS_URL", url)
    result = run(command)
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert "PT4AL_REDIS_URL" in line
    assert allowed in line
    assert "a-secret" not in line


@pytest.mark.parametrize("command", ["start", "web", "worker", "status", "train 1", "rank"])
def test_data_folder_that_cannot_be_made_is_one_line_that_names_it(
    run: Any, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PT4AL_DATA_DIR", str(tmp_path / "file" / "data"))
    monkeypatch.setenv("PT4AL_PORT", str(free_port()))
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    given = ["rank", str(tmp_path), "--out", str(tmp_path / "tasks.json")] if command == "rank" else command.split()
    result = run(*given)
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert str(tmp_path / "file") in result.stderr
    assert "PT4AL_DATA_DIR" in result.stderr


def test_error_shows_no_secret(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "a-secret-token")
    result = run("status")
    assert result.exit_code == 1
    assert "LABEL_STUDIO_URL" in result.stderr
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    monkeypatch.setenv("PT4AL_DATABASE_URL", "postgresql+psycopg://pt4al:a-secret-token@127.0.0.1:1/pt4al?connect_timeout=2")
    result = run("status")
    assert result.exit_code == 1
    assert "PT4AL_DATABASE_URL" in result.stderr
    assert "a-secret-token" not in result.output


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_url_of_postgresql_uses_the_driver_that_the_extra_installs(
    run: Any, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("PT4AL_DATABASE_URL", f"{scheme}://{postgresql_url.partition('://')[2]}")
    result = run("status")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", ["status", "doctor", "train 7", "worker"])
def test_missing_database_driver_is_named_with_its_extra(run: Any, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setenv("PT4AL_DATABASE_URL", "postgresql://pt4al:a-secret-word@127.0.0.1:1/pt4al")
    result = run(*command.split())
    assert result.exit_code == 1
    assert "driver, psycopg, is not installed" in result.output + result.stderr
    assert "pt4al-backend[postgresql]" in result.output + result.stderr
    assert "a-secret-word" not in result.output + result.stderr


def test_database_of_another_kind_is_refused_with_what_is_allowed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_DATABASE_URL", "mysql://pt4al:a-secret-word@127.0.0.1/pt4al")
    result = run("status")
    assert result.exit_code == 1
    assert "postgresql://" in result.stderr
    assert "a-secret-word" not in result.stderr


def test_state_of_a_newer_version_is_refused_with_a_remedy(run: Any, settings: ServerSettings) -> None:
    Store.open(settings).close()
    with sqlite3.connect(settings.data_dir / "state.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from-the-future'")
    connection.close()
    result = run("status")
    assert result.exit_code == 1
    assert "another version" in result.stderr
    assert "backup" in result.stderr
