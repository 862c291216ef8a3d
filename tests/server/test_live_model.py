"""The last good model on tasks outside the query: its answers, and what is left out when time runs out."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import ImageUnreadable, PT4ALError, StoreCorrupt, Unreachable
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.measures import FullModel
from pt4al_backend.server.live_model import CHUNK, MODELS, LiveModel
from pt4al_backend.server.requests import Task
from pt4al_backend.state.schema import Project
from tests.support.bodies import CONFIG

LABELS = ClassificationReader(parse(CONFIG))


class Brightness:
    """A model that answers "b" for bright images, with their brightness as its confidence."""

    task = "classification"
    stored = (8, 8)

    def predict(self, images: NDArray[np.uint8], /) -> tuple[Sequence[str], NDArray[np.float64]]:
        assert images.dtype == np.uint8
        assert images.shape[1:] == (8, 8, 3)
        bright = images.mean(axis=(1, 2, 3)) / 255
        return ["b" if each > 0.5 else "a" for each in bright], np.maximum(bright, 1 - bright)


class Images:
    """Hands out an image whose brightness is the task's id; what is in ``failures`` fails."""

    def __init__(self, failures: dict[int, PT4ALError] | None = None) -> None:
        self.failures = failures or {}
        self.fetched: list[int] = []

    def fetch(self, reference: object, task_id: int) -> bytes:
        assert reference == f"/data/{task_id}.png"
        self.fetched.append(task_id)
        if task_id in self.failures:
            raise self.failures[task_id]
        data = BytesIO()
        Image.new("RGB", (10, 12), (task_id % 256,) * 3).save(data, "PNG")
        return data.getvalue()


def project(model: str = "projects/3/learn-1/result") -> Project:
    return Project(id=3, label_config=CONFIG, model=model, full_model=FullModel(), hostname="", access_token="")


def tasks(*ids: int) -> list[Task]:
    return [Task(id=i, data={"image": f"/data/{i}.png"}) for i in ids]


def live(
    settings: ServerSettings, images: Any, load: Callable[[Path], Any] = lambda _: Brightness(), **options: Any
) -> LiveModel:
    return LiveModel(settings, load=load, fetcher=lambda _: images, **options)


def soon() -> float:
    return time.monotonic() + 30


def test_model_answers_with_confidence_and_image_size(settings: ServerSettings) -> None:
    found = live(settings, Images()).predict(project(), LABELS, tasks(255, 256, 51), soon())
    assert {i: each.answer for i, each in found.items()} == {255: "b", 256: "a", 51: "a"}
    assert (found[51].confidence, found[51].size) == (pytest.approx(0.8), (10, 12))


def test_model_of_another_main_task_answers_nothing(settings: ServerSettings) -> None:
    class Segmenter(Brightness):
        task = "segmentation"

    assert live(settings, Images(), lambda _: Segmenter()).predict(project(), LABELS, tasks(1), soon()) == {}


def test_unreadable_image_is_left_out(settings: ServerSettings) -> None:
    images = Images({2: ImageUnreadable("Broken.")})
    found = live(settings, images).predict(project(), LABELS, [*tasks(1, 2, 3), Task(id=4)], soon())
    assert sorted(found) == [1, 3]


def test_unreachable_label_studio_ends_the_request_early(settings: ServerSettings) -> None:
    images = Images({CHUNK + 1: Unreachable("Away.")})
    found = live(settings, images).predict(project(), LABELS, tasks(*range(1, 3 * CHUNK)), soon())
    assert sorted(found) == list(range(1, CHUNK + 1))
    assert max(images.fetched) <= 2 * CHUNK


def test_nothing_is_fetched_after_the_deadline(settings: ServerSettings) -> None:
    images = Images()
    assert live(settings, images).predict(project(), LABELS, tasks(1, 2), time.monotonic() - 1) == {}
    assert images.fetched == []


def test_answers_found_before_the_deadline_are_kept(settings: ServerSettings) -> None:
    now = [0.0]

    class Slow(Brightness):
        def predict(self, images: NDArray[np.uint8], /) -> tuple[Sequence[str], NDArray[np.float64]]:
            now[0] += 100
            return super().predict(images)

    model = live(settings, Images(), lambda _: Slow(), clock=lambda: now[0])
    found = model.predict(project(), LABELS, tasks(*range(1, 4 * CHUNK)), 150)
    assert sorted(found) == list(range(1, 2 * CHUNK + 1))


def test_cancelled_load_does_not_run(settings: ServerSettings) -> None:
    loading, released = threading.Event(), threading.Event()
    loaded: list[str] = []

    def load(folder: Path) -> Brightness:
        loaded.append(folder.name)
        loading.set()
        released.wait(30)
        return Brightness()

    model = live(settings, Images(), load)
    busy = threading.Thread(target=model.predict, args=(project("slow"), LABELS, tasks(1), soon()))
    busy.start()
    try:
        assert loading.wait(30)
        assert model.predict(project("late"), LABELS, tasks(1), time.monotonic() + 0.1) == {}
    finally:
        released.set()
        busy.join()
    assert sorted(model.predict(project("next"), LABELS, tasks(1), soon())) == [1]
    assert loaded == ["slow", "next"]


def test_model_that_is_fetched_from_another_host_holds_up_no_other_project(
    settings: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming, released = threading.Event(), threading.Event()

    def exchange(shared: SharedJobs, name: str) -> None:
        coming.set()
        released.wait(30)
        (settings.data_dir / name / "result").mkdir(parents=True)

    monkeypatch.setattr(SharedJobs, "exchange", exchange)
    here = project("projects/4/learn-1/result")
    (settings.data_dir / here.model).mkdir(parents=True)
    model = live(settings.model_copy(update={"artefacts_url": f"file://{tmp_path}/store"}), Images())
    found: list[dict[int, Any]] = []
    waiting = threading.Thread(target=lambda: found.append(model.predict(project(), LABELS, tasks(1), soon())))
    waiting.start()
    try:
        assert coming.wait(30)
        assert sorted(model.predict(here, LABELS, tasks(1), soon())) == [1]
        assert model.predict(project(), LABELS, tasks(1), time.monotonic()) == {}
    finally:
        released.set()
        waiting.join()
    assert [sorted(each) for each in found] == [[1]]


def test_silent_image_host_costs_only_its_own_image(settings: ServerSettings) -> None:
    released = threading.Event()

    class Hanging(Images):
        def fetch(self, reference: object, task_id: int) -> bytes:
            if task_id == 2:
                released.wait(30)
            return super().fetch(reference, task_id)

    try:
        found = live(settings, Hanging()).predict(project(), LABELS, tasks(1, 2, 3), time.monotonic() + 1.0)
    finally:
        released.set()
    assert sorted(found) == [1, 3]


def test_last_used_models_stay_loaded(settings: ServerSettings) -> None:
    loaded: list[str] = []

    def load(folder: Path) -> Brightness:
        loaded.append(folder.name)
        return Brightness()

    model = live(settings, Images(), load)
    for name in ("0", "0", *map(str, range(1, MODELS)), "0", "new", "0", "1"):
        model.predict(project(name), LABELS, tasks(1), soon())
    assert loaded == [*map(str, range(MODELS)), "new", "1"]


def test_rewritten_model_folder_is_loaded_again(settings: ServerSettings) -> None:
    loaded: list[Path] = []

    def load(folder: Path) -> Brightness:
        loaded.append(folder)
        return Brightness()

    folder = settings.data_dir / "m"
    folder.mkdir(parents=True)
    model = live(settings, Images(), load)
    for second in (1, 1, 2):
        (folder / "manifest.json").touch()
        os.utime(folder / "manifest.json", (second, second))
        model.predict(project("m"), LABELS, tasks(1), soon())
    assert loaded == [folder, folder]


@pytest.mark.parametrize("error", [StoreCorrupt("Damaged."), ZeroDivisionError("A bug.")])
def test_model_that_cannot_be_loaded_answers_nothing(
    settings: ServerSettings, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def load(_: Path) -> Brightness:
        raise error

    assert live(settings, Images(), load).predict(project(), LABELS, tasks(1), soon()) == {}
    assert str(error) in caplog.text


def test_missing_address_or_token_answers_nothing(settings: ServerSettings, caplog: pytest.LogCaptureFixture) -> None:
    model = LiveModel(settings, load=lambda _: Brightness())
    assert model.predict(project(), LABELS, tasks(1), soon()) == {}
    assert "LABEL_STUDIO_URL" in caplog.text
