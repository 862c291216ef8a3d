"""What the tests of the engine share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.store import Store


@pytest.fixture
def store(settings: ServerSettings, empty_state: Path) -> Iterator[Store]:
    """A state with project 1."""
    settings.data_dir.mkdir(exist_ok=True)
    shutil.copy(empty_state, settings.data_dir)
    opened = Store.open(settings)
    opened.connect(1)
    yield opened
    opened.close()
