"""One project that goes round: the engine in this process, a real Label Studio, and people who answer."""

import fcntl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
from PIL import Image

from pt4al_backend.config import project_settings, server_settings
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.access import label_reader_for
from pt4al_backend.engine.labels import LabelSplit, split_labels
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.engine.worker import Worker
from pt4al_backend.images.mask_files import UNLABELLED, MaskFiles
from pt4al_backend.jobs.run import Runner
from pt4al_backend.label_sets import from_text
from pt4al_backend.label_studio import label_config
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.state.paths import mask_dir, project_dir
from pt4al_backend.state.schema import Pick, Project, Round
from pt4al_backend.state.store import Store
from tests.support.images import CLASSES, arrow, class_of, save
from tests.support.kinds import CLASSIFICATION, SEVERAL, Kind
from tests.support.servers import LabelStudioServer, wait_until

#: For anything that takes a training of this size, on a machine that is busy otherwise.
SECONDS = 120.0


class Loop:
    """A project of its own on a shared Label Studio, with a state of its own; closed at the end of the context.

    Args:
        folder: takes state and images.
        params: extra params of the connection, beside those of its kind.
        kind: what it is about.
        runner: where jobs run; None: in child processes, as in production.
        settings: of the server.
    """

    def __init__(
        self,
        label_studio: LabelStudioServer,
        lead: Annotator,
        folder: Path,
        params: dict[str, Any] | None = None,
        *,
        kind: Kind = CLASSIFICATION,
        runner: Runner | None = None,
        **settings: Any,
    ) -> None:
        self.lead = lead
        self.folder = folder
        self.kind = kind
        self.params = {**kind.params, **(params or {})}
        self.client = LabelStudio(label_studio.url, label_studio.token)
        self.numbers: dict[int, int] = {}  # task -> number of its image
        self.id = lead.create_project(folder.name[:40].ljust(3, "_"), kind.label_config)
        place = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token, "data_dir": folder / "state"}
        self.settings = server_settings(**{**place, "device": "cpu", "pretrained": "off", **settings})
        self.store = Store.open(self.settings)
        self.engine = Worker(self.settings, self.store, runner)
        self.connect()
        self._environment = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        self._environment.setenv("OMP_NUM_THREADS", "1")  # small networks: threads only get into each other's way
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._environment.undo()
        self.store.close()

    def connect(self, config: str = "", **params: Any) -> None:
        """What Label Studio's request to /setup does."""
        self.params |= params
        fields = {
            "label_config": config or self.kind.label_config,
            "params": self.params,
            "hostname": self.client.url,
            "access_token": "",
            "setup_at": time.time() + 86_400,  # Label Studio has no entry, and none is expected while the test runs
        }
        self.store.connect(self.id, **fields)

    # images

    def add(self, count: int, draw: Callable[[int], Image.Image] = arrow) -> list[int]:
        """Imports drawn images; returns the tasks' ids."""
        first = len(self.numbers)
        paths = save(self.folder / "images", [draw(number) for number in range(first, first + count)], first)
        ids = self.lead.upload_images(self.id, paths)
        self.numbers |= {task_id: number for number, task_id in enumerate(ids, first)}
        return ids

    # the state

    @property
    def project(self) -> Project:
        """The project as the state has it."""
        project = self.store.project(self.id)
        assert project is not None
        return project

    @property
    def round(self) -> Round:
        """The round that is open."""
        found = self.store.round(self.id, self.project.round)
        assert found is not None
        return found

    def picks(self, *kinds: str) -> list[Pick]:
        """Picks of the open round in the order served, of these kinds or of all."""
        return [pick for pick in self.store.picks(self.id, self.project.round) if not kinds or pick.kind in kinds]

    def order(self, *kinds: str) -> list[int]:
        """Their tasks."""
        return [pick.task_id for pick in self.picks(*kinds)]

    def rounds(self) -> Rounds:
        """The rounds as the engine sees them."""
        return Rounds(self.store, self.project, project_settings(self.params))

    def labelling(self) -> LabelReader:
        """How the engine reads and shows labels."""
        return label_reader_for(self.settings, self.project, label_config.parse(self.project.label_config))

    def labels(self) -> LabelSplit:
        """What would train and measure a model now."""
        answers, controls = self.store.answers(self.id), self.store.control_ids(self.id)
        accepted = project_settings(self.params).train_on_accepted
        sizes = self.store.fetched_sizes(self.id, list(answers))
        origins = self.store.origins(self.id, [*answers, *controls.tolist()])
        return split_labels(sizes, answers, controls, origins, self.labelling(), train_on_accepted=accepted)

    def class_in(self, label: str) -> str:
        """The class that a label of the state stands for, or the one that its mask shows."""
        if self.kind is CLASSIFICATION:
            return label
        if self.kind is SEVERAL:
            (name,) = from_text(label)
            return name
        ids = MaskFiles(mask_dir(self.settings, self.project)).get(label).ids
        (shown,) = set(np.unique(ids).tolist()) - {UNLABELLED}
        return CLASSES[shown]

    def truth(self, task_id: int) -> str:
        """The class of what a task's image shows."""
        return class_of(self.numbers[task_id])

    def versions(self) -> dict[str, int]:
        """Predictions in Label Studio by model version."""
        return {name: count for name, count in self.client.model_versions(self.id).items() if count}

    def served(self) -> str:
        """The model version that Label Studio serves."""
        return str(self.client.project(self.id)["model_version"])

    # what happens

    def reconcile(self, *, train: bool = False) -> Project:
        """Lets the engine handle a request; returns the project after it."""
        self.engine.handle_request(self.id, train)
        return self.project

    @contextmanager
    def reconciling(self) -> Iterator[Thread]:
        """Lets the engine handle a request in a thread beside the caller; waits for it in the end."""
        thread = Thread(target=self.engine.handle_request, args=(self.id,))
        thread.start()
        try:
            yield thread
        finally:
            thread.join(SECONDS)
            assert not thread.is_alive()

    @contextmanager
    def held(self, job: str) -> Iterator[None]:
        """Waits for the training in this folder to begin, and holds it up as an orphan of an earlier worker would."""
        folder = project_dir(self.settings, self.project) / job
        wait_until(lambda: (folder / "job.json").exists(), SECONDS, f"{job} begins")
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert not (folder / "result").exists()
            yield

    # people

    def next(self, by: Annotator | None = None) -> int:
        """The task that *Label All Tasks* shows next."""
        task = (by or self.lead).next_task(self.id)
        assert task is not None
        return int(task["id"])

    def annotate(self, task_id: int, label: str = "", by: Annotator | None = None) -> int:
        """Answers a task truly, or with ``label``; returns the annotation's id."""
        return (by or self.lead).annotate(task_id, self.regions(task_id, label))

    def regions(self, task_id: int, label: str = "") -> list[dict[str, Any]]:
        """What a person submits for a task who sees what is there, or ``label`` in its stead."""
        number = self.numbers[task_id]
        return self.kind.regions(label or self.truth(task_id), number, self.project.label_config)

    def annotate_all(self, ids: Iterable[int], label: str = "") -> None:
        """Answers several tasks."""
        for task_id in ids:
            self.annotate(task_id, label)

    def work(self, count: int, people: Sequence[Annotator]) -> list[int]:
        """Lets people take turns at the label stream; returns the tasks that it served."""
        served = []
        for turn in range(count):
            person = people[turn % len(people)]
            served.append(self.next(person))
            self.annotate(served[-1], by=person)
        return served
