"""A process of the backend that is killed, against a real Label Studio: its work goes on where it was."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests

from pt4al_backend.demo.annotator import Annotator
from tests.support import image_server
from tests.support.backend import SECONDS, Backend, wait_for_end
from tests.support.driven import PARAMS, POLL, DrivenProject, picked
from tests.support.images import arrow, encoded
from tests.support.kinds import BRUSH, CLASSIFICATION, Kind
from tests.support.servers import LabelStudioServer, wait_until
from tests.support.stub_server import Reply, Request, stub_server

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(600)]


class Gate:
    """Stands between the backend and Label Studio, and lets one answer get lost when a test says so."""

    def __init__(self, label_studio: str) -> None:
        self._label_studio = label_studio
        self._catches: Callable[[Request], bool] | None = None
        self._instead: Callable[[], None] = lambda: None
        self.caught = Event()

    def set_trap(self, catches: Callable[[Request], bool], instead: Callable[[], None]) -> None:
        """Lets the next request of this kind through to Label Studio, but calls ``instead`` in place of its answer."""
        self.caught.clear()
        self._catches, self._instead = catches, instead

    def wait(self) -> None:
        """Waits until the trap has shut."""
        wait_until(self.caught.is_set, SECONDS, "the request that the test waits for")

    def answer(self, request: Request) -> Reply:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length", "Connection")}
        answer = requests.request(
            request.method,
            self._label_studio + request.path,
            headers=headers,
            data=request.body,
            timeout=60,
            allow_redirects=False,
        )
        if self._catches is not None and self._catches(request):
            self._catches = None
            self._instead()
            self.caught.set()
        return Reply(answer.status_code, answer.text, {"Content-Type": answer.headers.get("Content-Type", "text/plain")})


def imports_predictions(request: Request) -> bool:
    return request.method == "POST" and request.path.endswith("/import/predictions")


def switches_version(request: Request) -> bool:
    return request.method == "PATCH" and "model_version" in request.json


def resumed_after(backend: Backend, project: int, epoch: int = 0) -> int:
    """Waits until a training says that it resumes after a later epoch than this; returns that epoch."""

    def epoch_shown() -> int:
        words = backend.status(project).get("notices", {}).get("training", "")
        number = int(words.split()[3]) if words.startswith("Resuming after epoch") else 0
        return number if number > epoch else 0

    return wait_until(epoch_shown, SECONDS, f"a training resumes after an epoch later than {epoch}\n{backend.worker_log()}")


@pytest.fixture
def images() -> Iterator[image_server.Server]:
    server = image_server.Server()
    yield server
    server.close()


#: Epochs of a training that is to be caught before it is done, on a quick machine as well: those of a DeepLab are slower.
LONG = {"pretext_epochs": {CLASSIFICATION.name: 200, BRUSH.name: 60}, "epochs": {CLASSIFICATION.name: 200, BRUSH.name: 20}}


class Scene:
    """A project of 24 images, a backend behind a gate to Label Studio, and all that happens to them up to round 2."""

    def __init__(self, project: DrivenProject, backend: Backend, gate: Gate, images: image_server.Server) -> None:
        self.project, self.backend, self.gate, self.images = project, backend, gate, images

    def connect(self, **params: Any) -> None:
        """Starts the backend and connects the project."""
        self.backend.start_apart()
        self.project.lead.connect_backend(
            self.project.id, self.backend.url, extra_params={**self.project.kind.params, **PARAMS, **params}
        )

    def train_for_long(self, what: str) -> None:
        """Connects with enough ``what`` (pretext_epochs, epochs) for the training to be caught."""
        self.connect(**{what: LONG[what][self.project.kind.name]})

    def open_round(self) -> None:
        """Waits until round 1 is published."""
        status = self.backend.wait_for(self.project.id, phase="labelling", round=1, labels_missing=6)
        assert self.project.versions()[self.project.served()] == picked(status) == 12

    def label_round(self) -> None:
        """Answers the query of round 1."""
        self.open_round()
        self.project.answer(6)

    def kill_child(self, job: str, since: float = 0.0) -> None:
        """Kills the training child once it has saved an epoch after this time."""
        os.kill(self.backend.wait_for_checkpoint(self.backend.job(self.project.id, job), since=since).pid, signal.SIGKILL)


def kill_worker_after_its_first_publication(scene: Scene) -> None:
    """Label Studio took the first control picks; the worker never heard of it."""
    scene.gate.set_trap(imports_predictions, scene.backend.worker.kill_alone)
    scene.connect()
    scene.gate.wait()
    (first,) = scene.project.versions()
    assert scene.project.served() != first
    scene.backend.worker.start()
    scene.label_round()


def kill_worker_while_it_fetches_images(scene: Scene) -> None:
    reached, released = Event(), Event()
    address = "/10.png"
    send = scene.images.answers[address]

    def held(handler: image_server.Handler) -> None:
        reached.set()
        released.wait(SECONDS)
        send(handler)

    scene.images.answers[address] = held
    scene.connect()
    wait_until(reached.is_set, SECONDS, "the image that is held back is requested")
    assert scene.backend.status(scene.project.id)["tasks"]["fetched"] == 0
    scene.backend.worker.kill_alone()
    released.set()
    scene.backend.worker.start()
    scene.label_round()


def kill_worker_while_its_child_ranks(scene: Scene) -> None:
    """The child ends with its parent, and is not left to train on."""
    scene.train_for_long("pretext_epochs")
    job = scene.backend.job(scene.project.id, "rank-1")
    orphan = scene.backend.wait_for_checkpoint(job)
    scene.backend.worker.kill_alone()
    wait_for_end(orphan)
    assert not (job / "result").exists(), "the orphan trained to the end"
    scene.backend.worker.start()
    resumed_after(scene.backend, scene.project.id)
    scene.label_round()


def kill_child_while_it_ranks(scene: Scene) -> None:
    """Twice: a training that was resumed is resumed again."""
    scene.train_for_long("pretext_epochs")
    scene.kill_child("rank-1")
    epoch = resumed_after(scene.backend, scene.project.id)
    scene.kill_child("rank-1", since=time.time())
    resumed_after(scene.backend, scene.project.id, epoch)
    scene.label_round()


def kill_web_process_while_labels_arrive(scene: Scene) -> None:
    scene.connect()
    scene.open_round()
    scene.project.answer(2)
    scene.backend.web.kill_alone()
    scene.project.answer(2)
    scene.backend.web.start()
    scene.backend.wait_for(scene.project.id, labels_in=4, labels_missing=2)
    scene.project.answer(2)


def kill_child_while_it_trains_the_model(scene: Scene) -> None:
    scene.train_for_long("epochs")
    scene.label_round()
    scene.kill_child("learn-1")
    resumed_after(scene.backend, scene.project.id)


def kill_worker_after_it_switched_the_order(scene: Scene) -> None:
    """Label Studio serves the new order; the worker never heard of it, and a label comes before it is back."""
    scene.connect()
    scene.open_round()
    scene.gate.set_trap(switches_version, scene.backend.worker.kill_alone)
    scene.project.answer(6)
    scene.gate.wait()
    second = scene.project.served()
    scene.backend.worker.start()
    scene.backend.wait_for(scene.project.id, phase="labelling", round=2)
    assert scene.project.served() == second


FAULTS = [
    (CLASSIFICATION, kill_worker_after_its_first_publication),
    (CLASSIFICATION, kill_worker_while_it_fetches_images),
    (CLASSIFICATION, kill_worker_while_its_child_ranks),
    (CLASSIFICATION, kill_child_while_it_ranks),
    (CLASSIFICATION, kill_web_process_while_labels_arrive),
    (CLASSIFICATION, kill_child_while_it_trains_the_model),
    (CLASSIFICATION, kill_worker_after_it_switched_the_order),
    (BRUSH, kill_child_while_it_ranks),
    (BRUSH, kill_child_while_it_trains_the_model),
]


@pytest.mark.parametrize(
    ("kind", "fault"), FAULTS, ids=[f"{fault.__name__.removeprefix('kill_')}-{kind.name}" for kind, fault in FAULTS]
)
def test_killed_process_publishes_nothing_twice_and_loses_no_label(
    label_studio: LabelStudioServer,
    lead: Annotator,
    images: image_server.Server,
    tmp_path: Path,
    kind: Kind,
    fault: Callable[[Scene], None],
) -> None:
    project = DrivenProject(lead, label_studio, fault.__name__.replace("_", " "), kind)
    images.answers |= {f"/{number}.png": image_server.reply(encoded(arrow(number))) for number in range(24)}
    lead.import_tasks(project.id, [{"data": {"image": f"{images.url}/{number}.png"}} for number in range(24)])
    gate = Gate(label_studio.url)
    with (
        stub_server(gate.answer) as (url, _),
        Backend(tmp_path, label_studio, url=url, PT4AL_IMAGE_HOSTS="127.0.0.1", **POLL) as backend,
    ):
        fault(Scene(project, backend, gate, images))
        status = backend.wait_for(project.id, phase="labelling", round=2, labels_in=0)
        assert project.versions()[status["model_version"]] == picked(status)
        assert project.served() == status["model_version"]
        assert len(project.versions()) == 3  # the first control picks, round 1, round 2
        closed = status["history"][0]
        assert closed["labels"] + closed["control"]["total"] == 6
        assert status["tasks"]["labelled"] == len(project.given) == 6
        assert status["error"] is None
