"""The real backend for tests: `pt4al start`, or its web process and its worker apart, on a folder of their own."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import requests

from pt4al_backend.aliases import Json
from pt4al_backend.demo.servers import free_port
from tests.support.servers import LabelStudioServer, Server, wait_until

#: Seconds that anything may take which is not a training.
SECONDS = 180.0


class Worker(Server):
    """`pt4al worker`, which listens nowhere: it is up when its log says so."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        super().__init__("worker", command, 0, folder, environment)

    def is_up(self) -> bool:
        self.check()
        return READY in self.output()


READY = "Waiting for work."


class Backend:
    """A backend's processes. As a context manager it ends them all, whatever the test did to them.

    Args:
        folder: takes data and logs.
        label_studio: what it works for.
        url: where it finds Label Studio, if not at its own address.
        token: Label Studio's.
        environment: settings by their environment variables.
    """

    def __init__(
        self, folder: Path, label_studio: LabelStudioServer, *, url: str = "", token: str | None = None, **environment: str
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("LABEL_STUDIO_", "PT4AL_", "BASIC_AUTH_"))
        }
        variables = {
            **inherited,
            "OMP_NUM_THREADS": "1",  # small networks: threads only get into each other's way
            "LABEL_STUDIO_URL": url or label_studio.url,
            "LABEL_STUDIO_API_KEY": label_studio.token if token is None else token,
            "PT4AL_DATA_DIR": str(folder / "data"),
            "PT4AL_PORT": str(port),
            "PT4AL_DEVICE": "cpu",
            "PT4AL_PRETRAINED": "off",
            "PT4AL_ENCODER": "resnet18",
            **environment,
        }
        self.data = Path(variables["PT4AL_DATA_DIR"])
        user, password = variables.get("BASIC_AUTH_USER", ""), variables.get("BASIC_AUTH_PASS", "")
        self.login = (user, password) if user else None
        command = [sys.executable, "-m", "pt4al_backend"]
        self.both = Server("start", [*command, "start"], port, folder, variables)
        self.web = Server("web", [*command, "web"], port, folder, variables)
        self.worker = Worker([*command, "worker"], folder, variables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in (self.both, self.worker, self.web):
            process.stop()

    def start_apart(self) -> None:
        """Starts web process and worker as two commands."""
        self.web.start()
        self.worker.start()

    def post(self, path: str, **options: Any) -> requests.Response:
        """Sends a request as Label Studio does."""
        return requests.post(self.url + path, auth=self.login, timeout=30, **options)

    def status(self, project: int) -> Json:
        """What the status page shows; empty while the project is not known, or nobody answers."""
        try:
            response = requests.get(f"{self.url}/api/projects/{project}", auth=self.login, timeout=30)
        except requests.RequestException:
            return {}
        return dict(response.json()) if response.ok else {}

    def wait_for(self, project: int, timeout: float = SECONDS, **wanted: Any) -> Json:
        """Waits until these fields of the status have these values; returns the status."""
        seen: Json = {}

        def is_there() -> bool:
            nonlocal seen
            seen = self.status(project)
            return all(seen.get(name) == value for name, value in wanted.items())

        try:
            wait_until(is_there, timeout, f"project {project} shows {wanted}")
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{error}\n{ {k: seen.get(k) for k in SHOWN} }\n{self.worker_log()}") from None
        return seen

    def job(self, project: int, name: str) -> Path:
        """Folder of a training: rank-1, learn-1, …; waits for the project's own."""
        folders = self.data / "projects"
        found = wait_until(lambda: list(folders.glob(f"{project}-*")), SECONDS, f"project {project} has a folder")
        return Path(found[0]) / name

    def child(self, folder: Path) -> psutil.Process | None:
        """The process that trains in this folder, even if its parent has changed."""
        for process in psutil.process_iter(["cmdline"]):
            if (process.info["cmdline"] or [])[-2:] == ["pt4al_backend.jobs.child", str(folder)]:
                return process
        return None

    def wait_for_checkpoint(self, folder: Path, since: float = 0.0) -> psutil.Process:
        """Waits until the training in this folder has saved an epoch after this time; returns its process.

        Raises:
            AssertionError: it was done before it could be looked at.
        """
        file = folder / "checkpoint.pt"

        def process() -> psutil.Process | None:
            assert not (folder / "result").exists(), f"{folder.name} is done already: it needs more epochs to be caught"
            try:
                return self.child(folder) if file.stat().st_mtime > since else None
            except FileNotFoundError:
                return None

        return wait_until(process, SECONDS, f"{folder.name} saves a checkpoint")

    def worker_log(self) -> str:
        """The end of the worker's log, alone or under `pt4al start`."""
        return "\n".join(log.tail() for log in (self.worker, self.both) if log.log.exists())


SHOWN = ("phase", "progress", "round", "labels_in", "labels_missing", "tasks", "model_version", "notices", "error")


def wait_for_end(process: psutil.Process, timeout: float = SECONDS) -> None:
    """Waits until a process of somebody else's is gone."""
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, timeout, f"{process.pid} ends")
