"""PT4AL as label-studio-ml hosts it: the release 1.0.9 that is installed, and an imitation of the 2.x sources."""

import importlib
import json
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("label_studio_ml", reason="needs the extra label-studio-ml")

from label_studio_ml.model import LabelStudioMLManager, SimpleJobManager

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.errors import ConfigError
from pt4al_backend.hosts import label_studio_ml as model_module
from pt4al_backend.hosts.label_studio_ml import PT4AL
from pt4al_backend.hosts.process import hosted
from pt4al_backend.server.requests import EVENTS
from pt4al_backend.state.store import Store
from tests.support.bodies import CONFIG, TOKEN, event, predict, setup
from tests.support.rounds import PROJECT, VERSION, open_round, pick


@pytest.fixture
def store(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The state that a host's process opens by itself."""
    monkeypatch.setenv("PT4AL_DATA_DIR", str(settings.data_dir))
    hosted.cache_clear()
    backend = hosted()
    opened = Store.open(settings)
    yield opened
    opened.close()
    backend.close()
    hosted.cache_clear()


def test_importing_the_model_does_not_import_torch() -> None:
    code = "import sys, pt4al_backend.hosts.label_studio_ml; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestRelease109:
    """The calls of label_studio_ml.model and label_studio_ml.api, in their order."""

    @pytest.fixture
    def manager(self, store: Store, tmp_path: Path) -> Any:
        manager = LabelStudioMLManager()
        manager.initialize(PT4AL, model_dir=str(tmp_path / "jobs"))
        return manager

    def fetch(self, manager: Any) -> Any:
        """What its /setup does."""
        body = setup()
        return manager.fetch(
            body["project"],
            body["schema"],
            False,
            hostname=body["hostname"],
            access_token=body["access_token"],
            model_version=None,
        )

    def test_first_prediction_registers_the_project(self, manager: Any, store: Store) -> None:
        self.fetch(manager)
        body = predict(5, 6)
        results, _ = manager.predict(body["tasks"], body["project"], body["label_config"], False, True, **body["params"])
        assert results == [{"result": [], "score": 1.0, "model_version": ""}] * 2
        project = store.project(PROJECT)
        assert project is not None
        assert (project.label_config, project.hostname, project.access_token) == (CONFIG, setup()["hostname"], TOKEN)

    def test_predictions_are_the_published_ones(self, manager: Any, store: Store) -> None:
        open_round(store, pick(1, "query", "a", 0.5), pick(2, "control"))
        self.fetch(manager)
        results, _ = manager.predict(predict(2, 1)["tasks"], "3.1795241480", CONFIG)
        assert [(len(each["result"]), each["score"], each["model_version"]) for each in results] == [
            (0, 0.002, VERSION),
            (1, 0.001, VERSION),
        ]

    @pytest.mark.parametrize("action", EVENTS)
    def test_every_event_requests_a_look(self, store: Store, settings: ServerSettings, tmp_path: Path, action: str) -> None:
        store.connect(PROJECT, label_config=CONFIG)
        data = event(action)
        data.pop("action")
        result = SimpleJobManager(str(tmp_path)).job(PT4AL, action, data, "1795241480")
        assert WorkQueue(settings).waiting() == 1
        assert json.loads((tmp_path / "1795241480" / "job_result.json").read_text()) == result

    def test_first_event_registers_the_project(self, store: Store, tmp_path: Path) -> None:
        data = event()
        data.pop("action")
        SimpleJobManager(str(tmp_path)).job(PT4AL, "ANNOTATION_CREATED", data, "1")
        project = store.project(PROJECT)
        assert project is not None
        assert project.label_config == CONFIG


class Base2x:
    """An imitation of 2.x's LabelStudioMLBase, as far as a model meets it. The sources are on no package index."""

    kept: dict[tuple[str, str], str] = {}  # noqa: RUF012  as there: one for the process

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None and self.get("label_config") != label_config:
            self.set("label_config", label_config)
        if not self.get("model_version"):
            self.set("model_version", "0.0.1")
        self.setup()

    def setup(self) -> None:
        raise NotImplementedError

    @property
    def label_config(self) -> str | None:
        return self.get("label_config")

    def get(self, key: str) -> str | None:
        return self.kept.get((self.project_id, key))

    def set(self, key: str, value: str) -> None:
        assert isinstance(value, str)
        self.kept[self.project_id, key] = value


class TestImitated2x:
    """The calls of 2.x's api, imitated: they show what `PT4AL` does when called so, not that 2.x calls it so."""

    @pytest.fixture
    def model_class(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        Base2x.kept.clear()
        stand_in = types.ModuleType("label_studio_ml.model")
        stand_in.LabelStudioMLBase = Base2x  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "label_studio_ml.model", stand_in)
        yield importlib.reload(model_module).PT4AL
        monkeypatch.undo()
        importlib.reload(model_module)

    def setup_of(self, model_class: Any, extra_params: Any = None) -> str:
        """What its /setup does."""
        model = model_class(project_id="3", label_config=CONFIG)
        if extra_params:
            model.set_extra_params(extra_params)
        return str(model.get("model_version"))

    def test_setup_registers_the_project_and_hands_over_the_version(self, model_class: Any, store: Store) -> None:
        assert self.setup_of(model_class) == ""
        open_round(store, pick(1))
        assert self.setup_of(model_class) == VERSION

    @pytest.mark.parametrize("extra_params", [{"rounds": 4}, '{"rounds": 4}'])
    def test_extra_params_outlast_requests_without_them(self, model_class: Any, store: Store, extra_params: Any) -> None:
        self.setup_of(model_class, extra_params)
        model_class(project_id="3", label_config=CONFIG).predict(predict(1)["tasks"], context=None, login=None, password=None)
        model_class("3", label_config=CONFIG).fit("ANNOTATION_CREATED", event())
        project = store.project(PROJECT)
        assert project is not None
        assert project.params == {"rounds": 4}

    def test_bad_extra_params_are_refused(self, model_class: Any) -> None:
        with pytest.raises(ConfigError, match="'k'"):
            self.setup_of(model_class, {"k": 1})

    def test_predictions_and_events_reach_the_backend(self, model_class: Any, store: Store, settings: ServerSettings) -> None:
        open_round(store, pick(1, "query", "a", 0.5), pick(2))
        results = model_class(project_id="3", label_config=CONFIG).predict(predict(2, 1)["tasks"], context={})
        assert [each["score"] for each in results] == [0.002, 0.001]
        assert model_class("3", label_config=CONFIG).fit("START_TRAINING", event("START_TRAINING")) == {
            "project": PROJECT,
            "requested": True,
        }
        assert WorkQueue(settings).waiting() == 1

    def test_no_tasks_give_no_predictions(self, model_class: Any) -> None:
        assert model_class(project_id="3", label_config=CONFIG).predict([]) == []
