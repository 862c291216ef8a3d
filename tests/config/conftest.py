"""Settings are read as in an environment that names none."""

import pytest


@pytest.fixture(autouse=True)
def _no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PT4AL_ENCODER")
