"""A project whose jobs cannot run for a while: people go on labelling, and it trains once they can."""

from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.jobs.run import LocalRunner
from pt4al_backend.server.app import create_app
from tests.support.here import RestartingHere
from tests.support.loop import Loop
from tests.support.servers import LabelStudioServer
from tests.support.web_client import Client, RecordingQueue

pytestmark = pytest.mark.label_studio


class Leaving:
    """A runner whose launcher is gone while ``is_away``."""

    is_away = False

    def run(self, folder: Path, on_progress: Any, on_tick: Any) -> Path:
        runner = LocalRunner(["no-such-launcher"]) if self.is_away else RestartingHere()
        return runner.run(folder, on_progress, on_tick)


def test_project_is_labelled_on_while_its_runner_is_away_and_trained_once_it_is_back(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    runner = Leaving()
    params = {"rounds": 3, "query_size": 6, "reserve_size": 4, "control_share": 0.34}
    with Loop(label_studio, lead, tmp_path / "away", params, runner=runner) as loop, start_blocking_portal() as portal:
        loop.add(40)
        loop.reconcile()
        loop.annotate_all(loop.order("query", "control"))
        assert loop.reconcile().model

        runner.is_away = True
        served, first = loop.served(), loop.order()
        loop.annotate_all(task for task in first if task not in loop.store.answers(loop.id))
        for _ in range(2):  # the error is met by each look
            assert (loop.reconcile().phase, loop.project.round) == ("blocked", 2)
        assert loop.served() == served
        task = loop.next()
        assert task in set(loop.order()) - set(first)

        settings = loop.settings.model_copy(update={"allowed_hosts": "backend"})
        web = Client(create_app(settings, loop.store, RecordingQueue()), portal)
        trouble = web.get(f"/api/projects/{loop.id}").json()["error"]
        assert "'no-such-launcher' of PT4AL_LAUNCHER cannot be started" in trouble["message"]
        assert "Install no-such-launcher" in trouble["remedy"]
        body = {"project": f"{loop.id}.1", "label_config": loop.kind.label_config, "tasks": [lead.task(task)]}
        (predicted,) = web.post("/predict", json=body).json()["results"]
        assert predicted["result"]

        runner.is_away = False
        trained = loop.reconcile()
        assert (trained.round, trained.error, trained.phase) == (3, "", "labelling")
