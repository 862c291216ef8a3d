"""What the tests of the engine share."""

from collections.abc import Iterator

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.store import Store


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    """A state with project 1."""
    opened = Store.open(settings)
    opened.connect(1)
    yield opened
    opened.close()
