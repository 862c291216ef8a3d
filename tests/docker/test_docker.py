"""What can be told about docker/ without an engine; `make image-check` builds the image and runs it."""

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


def test_the_environment_template_holds_exactly_the_variables_that_compose_reads(compose: dict[str, Any]) -> None:
    assert set(template()) == {found[0] for found in VARIABLE.findall(yaml.safe_dump(compose))}


def test_compose_refuses_to_start_without_a_secret_and_names_the_file_to_fill_in(compose: dict[str, Any]) -> None:
    secret = [
        (service, name, value) for service, name, value in environments(compose) if name.endswith(SECRETS) and value != "true"
    ]
    assert len(secret) >= 8
    for service, name, value in secret:
        assert re.fullmatch(r"\$\{\w+:\?[^}]*docker/\.env[^}]*\}", value), f"{service}: {name}={value}"


def test_the_secrets_of_the_template_are_empty() -> None:
    assert {name: value for name, value in template().items() if name.endswith(SECRETS) and value} == {}


def test_the_backend_starts_with_what_compose_and_the_template_give_it(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_web_and_worker_are_the_same_image_on_the_same_state(compose: dict[str, Any]) -> None:
    web, worker = (compose["services"][name] for name in BACKEND)
    for key in ("image", "build", "environment", "env_file", "volumes", "depends_on"):
        assert web[key] == worker[key], key
    assert web["volumes"] == ["pt4al-data:/data"]
    assert (web["command"], worker["command"]) == (["web"], ["worker"])


def test_services_that_talk_share_a_network_and_the_stores_publish_no_port(compose: dict[str, Any]) -> None:
    services, networks = compose["services"], compose["networks"]
    assert set(services["label-studio"]["networks"]) & set(services["pt4al-web"]["networks"]) >= {"app"}
    for store in ("postgres", "redis"):
        (network,) = services[store]["networks"]
        assert networks[network] == {"internal": True}
        assert "ports" not in services[store]
        assert all(network in services[name]["networks"] for name in BACKEND)
    assert "queue" not in services["label-studio"]["networks"]  # what lies there is run by the worker


def test_label_studio_reaches_the_backend_under_a_name_that_its_webhook_field_takes(compose: dict[str, Any]) -> None:
    (alias,) = compose["services"]["pt4al-web"]["networks"]["app"]["aliases"]
    assert "." in alias
    for text in ((DOCKER / "compose.yaml").read_text(), (REPOSITORY / "plugin" / "README.md").read_text()):
        assert f"http://{alias}:9090" in text


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("ML_BLOCK_LOCAL_IP", "false"),
        ("SSRF_PROTECTION_ENABLED", "false"),
        ("SENTRY_DSN", ""),
        ("FRONTEND_SENTRY_DSN", ""),
        ("COLLECT_ANALYTICS", "false"),
        ("LATEST_VERSION_CHECK", "false"),
        ("LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK", "true"),
        ("DJANGO_DB", "default"),
    ],
)
def test_label_studio_s_switches_are_set(compose: dict[str, Any], switch: str, value: str) -> None:
    assert compose["services"]["label-studio"]["environment"][switch] == value


def test_every_service_but_the_worker_is_watched_and_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("label-studio", "postgres", "redis"):
        assert services[name]["healthcheck"]["test"][0].startswith("CMD")
    assert "healthcheck" not in services["pt4al-web"]  # the image's own
    assert services["pt4al-worker"]["healthcheck"] == {"disable": True}
    for needs in (service["depends_on"] for service in services.values() if "depends_on" in service):
        assert {need["condition"] for need in needs.values()} == {"service_healthy"}


def test_the_gpu_overlay_changes_the_worker_alone(compose: dict[str, Any]) -> None:
    overlay = yaml.safe_load((DOCKER / "compose.gpu.yaml").read_text())
    assert list(overlay) == ["services"]
    assert list(overlay["services"]) == ["pt4al-worker"]
    (device,) = overlay["services"]["pt4al-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert overlay["services"]["pt4al-worker"]["environment"] == {"PT4AL_DEVICE": "cuda"}


def test_the_image_runs_without_root_on_a_volume_of_its_own(dockerfile: str) -> None:
    final = dockerfile.rsplit("FROM ", 1)[1]
    uid = re.findall(r"^USER (\d+):\d+$", final, re.MULTILINE)
    assert uid == re.findall(r"useradd --uid (\d+)", final)
    assert final.rindex("USER ") > final.rindex("RUN ")
    assert "VOLUME /data" in final
    assert "PT4AL_DATA_DIR=/data" in final


def test_the_layer_of_the_dependencies_does_not_depend_on_the_code(dockerfile: str) -> None:
    requirements = dockerfile.split(" AS requirements")[1].split("FROM ")[0]
    assert re.findall(r"^COPY (.*)$", requirements, re.MULTILINE) == ["pyproject.toml /"]
    final = dockerfile.rsplit("FROM ", 1)[1]
    assert final.index("--requirement") < final.index("COPY --from=package")
    assert all("--no-cache-dir" in line for line in dockerfile.splitlines() if re.match(r"(RUN )?pip (install|wheel)", line))


def test_the_dependencies_are_read_from_the_project_with_the_driver_for_postgresql(dockerfile: str) -> None:
    (command,) = re.findall(r'^RUN (python -c ".*") > /requirements.txt$', dockerfile, re.MULTILINE)
    command = command.replace("/pyproject.toml", str(REPOSITORY / "pyproject.toml")).replace("python", sys.executable, 1)
    written = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout.splitlines()
    assert any(line.startswith("torch>=") for line in written)
    assert any(line.startswith("psycopg[binary]") for line in written)
    assert any(line.startswith("redis>=") for line in written)
    assert not any(line.startswith("label-studio-ml") for line in written)
    assert not any(line.startswith("pytest") for line in written)


def test_everything_the_image_copies_passes_the_allow_list_and_secrets_do_not(dockerfile: str) -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    assert {source.rstrip("*") for sources in copied for source in sources.split()} == allowed
    assert not any(name in allowed for name in (".git", "docker", "docker/.env", ".venv", ".demo"))


def test_the_filled_in_template_cannot_be_committed() -> None:
    assert {".env", "settings.env"} <= set((DOCKER / ".gitignore").read_text().split())
