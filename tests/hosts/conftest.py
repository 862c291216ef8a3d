"""label-studio-ml for tests: the release that is installed, or a double of 2.x. Neither is imported before a test wants it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.hosts import process
from pt4al_backend.state.store import Store
from tests.support.hosts import DOUBLE, PLUGIN, forget


@pytest.fixture(params=["1.0.9", "2.x"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The release that an import of label-studio-ml finds, freshly imported, in a working directory of its own."""
    if find_spec("flask") is None or (request.param == "1.0.9" and find_spec("label_studio_ml") is None):
        pytest.skip("needs the extra label-studio-ml")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for folder in (PLUGIN, *([DOUBLE] if request.param == "2.x" else [])):
        monkeypatch.syspath_prepend(folder)
    forget()
    yield request.param
    forget()


@pytest.fixture
def plugin(release: str, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ModuleType]]:
    """Imports plugin/_wsgi.py as a WSGI server does, with the environment as it is then."""
    monkeypatch.setenv("PT4AL_DATA_DIR", str(settings.data_dir))
    yield lambda: importlib.import_module("_wsgi")
    if "_wsgi" in sys.modules:
        sys.modules["_wsgi"].app.wsgi_app.close()


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    """The state that the host opens as well."""
    opened = Store.open(settings)
    yield opened
    opened.close()


@pytest.fixture
def model_class(release: str, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """The model class of the plugin's folder, on top of this release."""
    monkeypatch.setenv("PT4AL_DATA_DIR", str(settings.data_dir))
    yield importlib.import_module("model").PT4AL
    process.close()
