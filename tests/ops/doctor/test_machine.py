"""``pt4al doctor`` on this machine: its settings, its open port, its disk, and what it stores things in."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pt4al_backend.cli import app
from pt4al_backend.config import ServerSettings
from pt4al_backend.demo.servers import free_port
from pt4al_backend.learn.weights import imagenet
from pt4al_backend.ops import doctor
from pt4al_backend.ops.doctor import machine


def test_redis_and_database_are_tried_without_showing_passwords(settings: ServerSettings) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    urls = {
        "redis_url": f"redis://:a-secret-word@127.0.0.1:{free_port()}/0",
        "database_url": f"postgresql+psycopg://pt4al:a-secret-word@127.0.0.1:{free_port()}/pt4al",
    }
    found = {each.topic: each for each in doctor.examine(settings.model_copy(update=urls))}
    assert found["State"].level == "fail"
    assert "PT4AL_DATABASE_URL" in found["State"].remedy
    assert "a-secret-word" not in repr(found)
    found = {each.topic: each for each in doctor.examine(settings.model_copy(update={"redis_url": urls["redis_url"]}))}
    assert found["Worker"].level == "fail"
    assert "PT4AL_REDIS_URL" in found["Worker"].remedy
    assert "a-secret-word" not in repr(found)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "ok"),
        ({"host": "0.0.0.0"}, "fail"),
        ({"host": "0.0.0.0", "insecure": True}, "warn"),
        ({"host": "0.0.0.0", "basic_auth_user": "studio", "basic_auth_pass": "a-secret-word"}, "ok"),
    ],
)
def test_port_open_to_other_machines_needs_a_password(settings: ServerSettings, changes: dict[str, Any], level: str) -> None:
    (found,) = [each for each in doctor.examine(settings.model_copy(update=changes)) if each.topic == "Access"]
    assert found.level == level
    assert level == "ok" or "BASIC_AUTH_USER" in found.remedy
    assert "a-secret-word" not in repr(found)


@pytest.mark.parametrize(("names", "level"), [("*", "warn"), ("a.example, *", "warn"), ("*.example", "ok"), ("", "ok")])
def test_names_that_allow_any_page_are_warned_of(settings: ServerSettings, names: str, level: str) -> None:
    found = doctor.examine(settings.model_copy(update={"allowed_hosts": names}))
    (access,) = [each for each in found if each.topic == "Access"]
    assert access.level == level
    assert level == "ok" or "PT4AL_ALLOWED_HOSTS" in access.text


@pytest.mark.parametrize("command", ["start", "web"])
def test_command_does_not_open_the_port_without_a_password(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PT4AL_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("PT4AL_HOST", "0.0.0.0")
    refused = CliRunner().invoke(app, [command])
    assert refused.exit_code == 1
    for name in ("BASIC_AUTH_USER", "BASIC_AUTH_PASS", "PT4AL_INSECURE", "--insecure"):
        assert name in refused.output


def test_folder_of_weights_that_is_not_there_is_warned_of(settings: ServerSettings, tmp_path: Path) -> None:
    for folder, level in ((tmp_path / "none", "warn"), (tmp_path, "ok")):
        found = {each.topic: each for each in doctor.examine(settings.model_copy(update={"weights_dir": folder}))}
        assert found["Settings"].level == level
        assert level == "ok" or "PT4AL_WEIGHTS_DIR" in found["Settings"].text


def test_wrong_setting_of_all_projects_is_one_failure_with_its_variable(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("pt4al_query_size", "abc")
    monkeypatch.setattr(imagenet, "is_cached", lambda name: True)
    found = list(doctor.examine(settings.model_copy(update={"pretrained": "auto"})))
    (failed,) = [each for each in found if each.level == "fail"]
    assert failed.topic == "Settings"
    assert "'pt4al_query_size': 'abc'" in failed.text
    assert failed.remedy == "Change it in the environment."


def test_full_disk_fails(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_BYTES", 10**18)
    monkeypatch.setattr(machine, "LITTLE_BYTES", 10**18)
    found = {each.topic: each for each in doctor.examine(settings)}
    assert found["Data folder"].level == "fail"


def test_store_of_several_hosts_is_written_and_read(settings: ServerSettings, tmp_path: Path) -> None:
    for name, level in (("store", "ok"), ("file/below", "fail")):
        (tmp_path / "file").touch()
        shared = settings.model_copy(update={"artefacts_url": f"file://{tmp_path}/{name}"})
        found = {each.topic: each for each in doctor.examine(shared)}
        assert found["Artefact store"].level == level
    assert "PT4AL_ARTEFACTS_URL" in found["Artefact store"].remedy
