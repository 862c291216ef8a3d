"""The served model in the web process: it labels tasks that are not in the queue, when somebody opens one.

Images and models are fetched by a few threads, the model is loaded and run by a single one: neither the event loop nor the
training on the same machine waits for it. Torch is imported when the first model is loaded, not before.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.artefacts import MANIFEST
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine import served_model
from pt4al_backend.engine.access import fetcher_for
from pt4al_backend.errors import ImageUnreadable, PT4ALError
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frames import KEEP, Shape
from pt4al_backend.label_studio.annotations import LabelReader, ModelAnswer, image_of
from pt4al_backend.server.model_downloads import ModelDownloads
from pt4al_backend.server.requests import Task
from pt4al_backend.state.schema import Project

log = logging.getLogger(__name__)

CHUNK = 32  # images between two checks of the clock
FETCHERS = 8
FETCH_SHARE = 0.8  # of the time left, so that a host that does not answer leaves some for the images that came
MODELS = 4  # kept in memory: the last used

T = TypeVar("T")


class Model(Protocol):
    """What of a loaded model is used here."""

    @property
    def task(self) -> str: ...

    @property
    def stored(self) -> Shape: ...

    def predict(self, frames: NDArray[np.uint8], /) -> tuple[Sequence[ModelAnswer], NDArray[np.float64]]:
        """uint8 [n, *stored, 3] -> n answers with their confidences."""
        ...


@dataclass(frozen=True)
class Prediction:
    """A model's answer for one image, its confidence 0..1, and the image's size (width, height); None: not known."""

    answer: ModelAnswer
    confidence: float | None
    size: tuple[int, int] | None


class Fetch(Protocol):
    """The file behind a task's image reference."""

    def fetch(self, reference: object, task_id: int) -> bytes: ...


def _load(folder: Path) -> Model:
    import torch

    from pt4al_backend.learn.predictor import Predictor

    torch.set_num_threads(1)  # the other cores answer webhooks, and train
    model: Model = Predictor.load(folder, device="cpu")
    return model


class LiveModel:
    """Labels tasks with the model that is served of their project, as far as a deadline allows. Safe to share between threads."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        downloads: ModelDownloads | None = None,
        load: Callable[[Path], Model] = _load,
        fetcher: Callable[[Project], Fetch] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # an image that comes after the deadline is of no use, and would hold up the next request
        self._settings = settings.model_copy(update={"image_seconds": min(settings.image_seconds, settings.predict_seconds)})
        self._downloads = downloads or ModelDownloads(settings)
        self._load = load
        self._fetcher = fetcher or partial(fetcher_for, self._settings)
        self._clock = clock
        self._models: OrderedDict[tuple[Path, int], Model] = OrderedDict()
        self._fetchers: dict[int, tuple[tuple[str, str], Fetch]] = {}
        self._fetching = ThreadPoolExecutor(FETCHERS, thread_name_prefix="predict-fetch")
        self._running = ThreadPoolExecutor(1, thread_name_prefix="predict-model")

    def predict(self, project: Project, reader: LabelReader, tasks: Sequence[Task], deadline: float) -> dict[int, Prediction]:
        """The model's answers for the tasks whose images came in time, by id. Never raises: the rest is left out."""
        found: dict[int, Prediction] = {}
        try:
            for start in range(0, len(tasks), CHUNK):
                if self._clock() >= deadline:
                    break
                found |= self._predict_chunk(project, reader, tasks[start : start + CHUNK], deadline)
        except Late:
            log.info("Project %s: /predict ran out of time after %s of %s tasks.", project.id, len(found), len(tasks))
        except PT4ALError as error:
            log.warning("Project %s: /predict answers without the model. %s", project.id, error)
        except Exception:
            log.exception("Project %s: /predict answers without the model.", project.id)
        return found

    def _predict_chunk(
        self, project: Project, reader: LabelReader, tasks: Sequence[Task], deadline: float
    ) -> dict[int, Prediction]:
        folder = served_model.folder(self._settings.data_dir, project)
        if folder is None:
            return {}
        self._downloads.wait(folder, max(deadline - self._clock(), 0.0))
        model = self._wait(self._running.submit(self._model, folder), deadline)
        if model.task != reader.task:
            return {}  # the labeling config has become another task's; the next round brings a model for it
        fetcher = self._fetcher_of(project)
        pending = {self._fetching.submit(self._read, fetcher, reader, task, model.stored): task.id for task in tasks}
        done, late = wait(pending, timeout=FETCH_SHARE * max(deadline - self._clock(), 0.0))
        for future in late:
            future.cancel()
        images = {pending[future]: image for future in done if (image := future.result()) is not None}
        if not images:
            return {}
        frames = np.stack([frame for frame, _ in images.values()])
        answers, confidences = self._wait(self._running.submit(model.predict, frames), deadline)
        found = zip(images.items(), answers, confidences.tolist(), strict=True)
        return {i: Prediction(answer, confidence, size) for (i, (_, size)), answer, confidence in found}

    def _wait(self, future: Future[T], deadline: float) -> T:
        try:
            return future.result(timeout=max(deadline - self._clock(), 0.0))
        except Late:
            future.cancel()  # what nobody waits for must not hold up the next request
            raise

    def _model(self, folder: Path) -> Model:
        """Runs in the model's own thread, so that nothing else touches the cache."""
        manifest = folder / MANIFEST
        key = (folder, manifest.stat().st_mtime_ns if manifest.exists() else 0)  # a folder may be written again
        if key not in self._models:
            self._models[key] = self._load(folder)
        self._models.move_to_end(key)
        while len(self._models) > MODELS:
            self._models.popitem(last=False)
        return self._models[key]

    def _read(
        self, fetcher: Fetch, reader: LabelReader, task: Task, shape: Shape
    ) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
        """A task's image as a frame, and its own size (width, height); None if it cannot be read."""
        try:
            data = fetcher.fetch(image_of(task.data, reader.config), task.id)
            image, size, _ = decode(data, self._settings.image_max_pixels, max(shape))
        except ImageUnreadable:
            return None  # the engine sets it aside, with its reason
        return KEEP[reader.task](image, shape), size

    def _fetcher_of(self, project: Project) -> Fetch:
        key = (project.hostname, project.access_token)
        known, fetcher = self._fetchers.get(project.id, (None, None))
        if fetcher is None or known != key:
            fetcher = self._fetcher(project)
            self._fetchers[project.id] = (key, fetcher)
        return fetcher
