"""Real servers for tests, which a test may kill."""

import hashlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from pt4al_backend.demo import servers
from pt4al_backend.locks import held
from pt4al_backend.processes import ProcessGroup, wait_until

__all__ = ["KillableServer", "wait_until"]

REPOSITORY = Path(__file__).resolve().parents[2]


class KillableServer(servers.Server):
    """A server that a test may kill: the test is its parent, without a guard in between."""

    _group: ProcessGroup | None

    @property
    def pid(self) -> int:
        """Process id, which is the process group's as well."""
        assert self._group is not None, f"{self.name} is not running"
        return self._group.pid

    def kill(self) -> None:
        """Ends the command and its children at once."""
        group, self._group = self._group, None
        if group is not None:
            group.kill()

    def kill_alone(self) -> None:
        """Ends the command at once, and leaves its children behind."""
        os.kill(self.pid, signal.SIGKILL)
        group, self._group = self._group, None
        assert group is not None
        group._process.wait()  # reaped here, as a group that is waited for takes its children along


class Server(KillableServer):
    """A command that listens on a port, its output in ``folder``."""

    def __init__(
        self, name: str, command: list[str], port: int, folder: Path, environment: Mapping[str, str], listens: str = ""
    ) -> None:
        super().__init__(name, command, port, folder / f"{name}.log", environment, listens, guarded=False)


class LabelStudioServer(KillableServer, servers.LabelStudio):
    """Label Studio with a legacy token of its admin's.

    Args:
        folder: takes data and log.
        template: data of a Label Studio that has run before, which spares the migrations.
        settings: environment variables beside or instead of the demo's.
    """

    email = "admin@example.com"
    password = "a-long-password-1"
    token = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, folder: Path, *, template: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        if template is not None:
            shutil.copytree(template, folder / "data")
        tokens = {"LABEL_STUDIO_USER_TOKEN": self.token, "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true"}
        given = {**tokens, **(settings or {})}
        # any port: tests that run side by side would all start at the same one
        super().__init__(label_studio_command(), folder, self.email, self.password, preferred=0, settings=given, guarded=False)


def data_of_first_start() -> Path:
    """Data of a Label Studio that has run once: those that start from a copy need no migrations, 35 s of CPU.

    They are made by whoever first wants them, and kept beside the installation, for later runs and those beside this one.
    """
    environment = label_studio_command().parent.parent
    installed = [each.name for each in environment.glob("lib/*/site-packages/label_studio-*.dist-info")]
    account = (LabelStudioServer.email, LabelStudioServer.password, LabelStudioServer.token)
    kept = environment / f"first-start-{hashlib.sha256(repr((installed, account)).encode()).hexdigest()[:8]}"
    with (environment / "first-start.lock").open("w") as lock, held(lock, wait=True):
        if not kept.exists():
            draft = kept.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            server = LabelStudioServer(draft)
            server.start()
            server.stop()
            draft.rename(kept)
    return kept / "data"


def label_studio_command() -> Path:
    """The ``label-studio`` that tests start: beside the interpreter LABEL_STUDIO_PYTHON, or of ``make setup``."""
    python = os.environ.get("LABEL_STUDIO_PYTHON")
    folder = Path(python).absolute().parent if python else REPOSITORY / ".venv-label-studio" / "bin"
    return folder / "label-studio"
