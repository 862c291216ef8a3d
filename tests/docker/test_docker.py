"""What of docker/ can be checked without an engine; `make image-check` builds the image and runs it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pt4al_backend.config import ProjectSettings, ServerSettings, server_settings
from tests.support.servers import REPOSITORY

DOCKER = REPOSITORY / "docker"
BACKEND = ("pt4al-web", "pt4al-worker")
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:[-?])([^}]*))?\}")
SECRETS = ("PASS", "PASSWORD", "TOKEN", "API_KEY")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """The instructions, each in one line."""
    lines = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def template() -> dict[str, str]:
    """Variables of env.example with their values; of a commented one, the value that the comment shows."""
    lines = re.findall(r"^#?([A-Z_0-9]+)=(.*)$", (DOCKER / "env.example").read_text(), re.MULTILINE)
    return dict(lines)


def substituted(value: object, variables: dict[str, str]) -> str:
    return VARIABLE.sub(lambda found: variables.get(found[1]) or found[3], str(value))


def environments(compose: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for service, described in compose["services"].items():
        for name, value in described.get("environment", {}).items():
            yield service, name, str(value)


def test_env_template_names_every_variable_of_compose(compose: dict[str, Any]) -> None:
    assert set(template()) == {found[0] for found in VARIABLE.findall(yaml.safe_dump(compose))}


def test_compose_refuses_to_start_without_a_secret(compose: dict[str, Any]) -> None:
    secret = [
        (service, name, value) for service, name, value in environments(compose) if name.endswith(SECRETS) and value != "true"
    ]
    assert len(secret) >= 8
    for service, name, value in secret:
        assert re.fullmatch(r"\$\{\w+:\?[^}]*docker/\.env[^}]*\}", value), f"{service}: {name}={value}"


def test_env_template_contains_no_secret() -> None:
    assert {name: value for name, value in template().items() if name.endswith(SECRETS) and value} == {}


def test_settings_accept_the_environment_of_compose(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {field.alias or f"PT4AL_{name.upper()}" for name, field in ServerSettings.model_fields.items()}
    known |= {f"PT4AL_{name.upper()}" for name in ProjectSettings.model_fields}
    filled_in = {name: value or "0123456789abcdef" for name, value in template().items()}
    for service in BACKEND:
        environment = compose["services"][service]["environment"]
        assert set(environment) <= known
        for name, value in environment.items():
            monkeypatch.setenv(name, substituted(value, filled_in))
    settings = server_settings()
    assert settings.label_studio_url == "http://label-studio:8080"
    assert settings.label_studio_api_key == "0123456789abcdef"
    assert settings.database_url == "postgresql+psycopg://pt4al:0123456789abcdef@postgres:5432/pt4al"
    assert settings.redis_url == "redis://:0123456789abcdef@redis:6379/0"


def test_web_and_worker_share_image_and_state(compose: dict[str, Any]) -> None:
    web, worker = (compose["services"][name] for name in BACKEND)
    for key in ("image", "build", "environment", "env_file", "volumes", "depends_on"):
        assert web[key] == worker[key], key
    assert web["volumes"] == ["pt4al-data:/data"]
    assert (web["command"], worker["command"]) == (["web"], ["worker"])


def test_databases_publish_no_port(compose: dict[str, Any]) -> None:
    services, networks = compose["services"], compose["networks"]
    assert set(services["label-studio"]["networks"]) & set(services["pt4al-web"]["networks"]) >= {"app"}
    for store in ("postgres", "redis"):
        (network,) = services[store]["networks"]
        assert networks[network] == {"internal": True}
        assert "ports" not in services[store]
        assert all(network in services[name]["networks"] for name in BACKEND)
    assert "queue" not in services["label-studio"]["networks"]  # what lies there is run by the worker


def test_backend_has_a_name_with_a_dot(compose: dict[str, Any]) -> None:
    (alias,) = compose["services"]["pt4al-web"]["networks"]["app"]["aliases"]
    assert "." in alias


def test_label_studio_may_call_the_backend(compose: dict[str, Any]) -> None:
    """Both guards must be off: with one of them, the backend is listed as connected and hears of no label."""
    environment = compose["services"]["label-studio"]["environment"]
    assert [environment[guard] for guard in ("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED")] == ["false", "false"]


def test_gpu_overlay_changes_the_worker_alone(compose: dict[str, Any]) -> None:
    overlay = yaml.safe_load((DOCKER / "compose.gpu.yaml").read_text())
    assert list(overlay) == ["services"]
    assert list(overlay["services"]) == ["pt4al-worker"]
    (device,) = overlay["services"]["pt4al-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert overlay["services"]["pt4al-worker"]["environment"] == {"PT4AL_DEVICE": "cuda"}


def test_workers_are_as_many_as_the_template_says(compose: dict[str, Any]) -> None:
    """Several share one state and one queue, which SQLite cannot be."""
    worker = compose["services"]["pt4al-worker"]
    assert substituted(worker["deploy"]["replicas"], {"WORKERS": "3"}) == "3"
    assert substituted(worker["deploy"]["replicas"], {}) == template()["WORKERS"] == "1"
    assert "container_name" not in worker
    assert "ports" not in worker


def test_overlay_for_two_gpus_gives_each_worker_its_own() -> None:
    services = yaml.safe_load((DOCKER / "compose.gpus.yaml").read_text())["services"]
    given = {name: each["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for name, each in services.items()}
    assert given == {"pt4al-worker": ["0"], "pt4al-worker-1": ["1"]}
    assert services["pt4al-worker-1"]["extends"] == {"file": "compose.yaml", "service": "pt4al-worker"}
    assert all(each["environment"] == {"PT4AL_DEVICE": "cuda"} for each in services.values())


def test_image_installs_the_extras_of_compose(dockerfile: str) -> None:
    (command,) = re.findall(r'^RUN (python -c ".*") > /requirements.txt$', dockerfile, re.MULTILINE)
    command = command.replace("/pyproject.toml", str(REPOSITORY / "pyproject.toml")).replace("python", sys.executable, 1)
    (extras,) = re.findall(r'^ARG (EXTRAS=".*")$', dockerfile, re.MULTILINE)
    written = subprocess.run(f"{extras} {command}", shell=True, check=True, capture_output=True, text=True).stdout.splitlines()
    assert any(line.startswith("torch>=") for line in written)
    assert any(line.startswith("psycopg[binary]") for line in written)
    assert any(line.startswith("redis>=") for line in written)
    assert any(line.startswith("s3fs>=") for line in written)
    assert not any(line.startswith("label-studio-ml") for line in written)
    assert not any(line.startswith("pytest") for line in written)


def test_image_sees_its_sources_and_no_secret(dockerfile: str) -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    assert {source.rstrip("*") for sources in copied for source in sources.split()} == allowed
    assert not any(name in allowed for name in (".git", "docker", "docker/.env", ".venv", ".demo"))


def test_filled_in_template_cannot_be_committed() -> None:
    assert {".env", "settings.env"} <= set((DOCKER / ".gitignore").read_text().split())
