"""label-studio-ml for tests: the release that is installed, or a double of 2.x. Neither is imported before a test wants it."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.hosts import process
from pt4al_backend.state.store import Store
from tests.support.bodies import predict
from tests.support.rounds import VERSION, open_round, pick
from tests.support.servers import REPOSITORY

PLUGIN = REPOSITORY / "plugin"
DOUBLE = REPOSITORY / "tests" / "support" / "label_studio_ml_2x"
SERVED = [(0, 0.002, VERSION), (1, 0.001, VERSION)]
OURS = ("_wsgi", "model", "pt4al_backend.hosts.label_studio_ml")


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


def forget() -> None:
    """Makes the next import load label-studio-ml and the plugin again: both keep app and model class in their modules."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "label_studio_ml" or name in OURS:
            del sys.modules[name]


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


def serve(store: Store) -> None:
    """Publishes a task of the query and a control pick."""
    open_round(store, pick(1, "query", "a", 0.5), pick(2, "control"))


def served(client: Any) -> list[tuple[int, float, str]]:
    """Regions, score and model version that the host answers for both, the control pick first."""
    results = client.post("/predict", json=predict(2, 1)).get_json()["results"]
    return [(len(each["result"]), each["score"], each["model_version"]) for each in results]


def with_release(release: str) -> dict[str, str]:
    """The environment for a process that finds this release."""
    paths = [str(DOUBLE)] if release == "2.x" else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(REPOSITORY)])}
