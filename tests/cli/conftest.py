"""What the tests of the command line share."""

from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pt4al_backend import cli
from pt4al_backend.config import ServerSettings
from pt4al_backend.ops import terminal


@pytest.fixture
def run(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command on the test's own state; the terminal is wide enough that no table breaks a line."""
    monkeypatch.setenv("PT4AL_DATA_DIR", str(settings.data_dir))
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "width", 250)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, arguments)

    return invoke
