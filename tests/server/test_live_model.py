"""The last good model on tasks outside the queue: what it says, and what becomes of the rest when time runs out."""

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
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.server.live_model import CHUNK, MODELS, LiveModel
from pt4al_backend.state.schema import Project
from tests.support.bodies import CONFIG

LABELS = ClassificationReader(parse(CONFIG))


class Brightness:
    """A model that says "b" of bright images, as surely as they are bright."""

    task = "classification"
    stored = (8, 8)

    def predict(self, images: NDArray[np.uint8], /) -> tuple[Sequence[str], NDArray[np.float64]]:
        assert images.dtype == np.uint8
        assert images.shape[1:] == (8, 8, 3)
        bright = images.mean(axis=(1, 2, 3)) / 255
        return ["b" if each > 0.5 else "a" for each in bright], np.maximum(bright, 1 - bright)


class Images:
    """Hands out an image of the brightness that the task's number says; what is in ``failures`` fails."""

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
    return Project(id=3, label_config=CONFIG, model=model, hostname="", access_token="")


def tasks(*ids: int) -> list[dict[str, Any]]:
    return [{"id": i, "data": {"image": f"/data/{i}.png"}} for i in ids]


def live(
    settings: ServerSettings, images: Any, load: Callable[[Path], Any] = lambda _: Brightness(), **options: Any
) -> LiveModel:
    return LiveModel(settings, load=load, fetcher=lambda _: images, **options)


def soon() -> float:
    return time.monotonic() + 30


def test_it_labels_what_it_is_shown(settings: ServerSettings) -> None:
    found = live(settings, Images()).answers(project(), LABELS, tasks(255, 0, 51), soon())
    assert {i: seen.said for i, seen in found.items()} == {255: "b", 0: "a", 51: "a"}
    assert (found[51].confidence, found[51].size) == (pytest.approx(0.8), (10, 12))


def test_a_model_of_another_task_says_nothing(settings: ServerSettings) -> None:
    class Segmenter(Brightness):
        task = "segmentation"

    assert live(settings, Images(), lambda _: Segmenter()).answers(project(), LABELS, tasks(1), soon()) == {}


def test_an_image_that_cannot_be_read_is_left_out(settings: ServerSettings) -> None:
    images = Images({2: ImageUnreadable("Broken.")})
    found = live(settings, images).answers(project(), LABELS, [*tasks(1, 2, 3), {"id": 4, "data": {}}, {"id": 5}], soon())
    assert sorted(found) == [1, 3]


def test_label_studio_being_away_ends_the_request_with_what_was_found(settings: ServerSettings) -> None:
    images = Images({CHUNK + 1: Unreachable("Away.")})
    found = live(settings, images).answers(project(), LABELS, tasks(*range(1, 3 * CHUNK)), soon())
    assert sorted(found) == list(range(1, CHUNK + 1))
    assert max(images.fetched) <= 2 * CHUNK


def test_after_the_deadline_nothing_is_fetched(settings: ServerSettings) -> None:
    images = Images()
    assert live(settings, images).answers(project(), LABELS, tasks(1, 2), time.monotonic() - 1) == {}
    assert images.fetched == []


def test_when_time_runs_out_what_was_found_is_kept(settings: ServerSettings) -> None:
    now = [0.0]

    class Slow(Brightness):
        def predict(self, images: NDArray[np.uint8], /) -> tuple[Sequence[str], NDArray[np.float64]]:
            now[0] += 100
            return super().predict(images)

    model = live(settings, Images(), lambda _: Slow(), clock=lambda: now[0])
    found = model.answers(project(), LABELS, tasks(*range(1, 4 * CHUNK)), 150)
    assert sorted(found) == list(range(1, 2 * CHUNK + 1))


def test_what_nobody_waits_for_any_more_is_not_done(settings: ServerSettings) -> None:
    loading, released = threading.Event(), threading.Event()
    loaded: list[str] = []

    def load(folder: Path) -> Brightness:
        loaded.append(folder.name)
        loading.set()
        released.wait(30)
        return Brightness()

    model = live(settings, Images(), load)
    busy = threading.Thread(target=model.answers, args=(project("slow"), LABELS, tasks(1), soon()))
    busy.start()
    try:
        assert loading.wait(30)
        assert model.answers(project("late"), LABELS, tasks(1), time.monotonic() + 0.1) == {}
    finally:
        released.set()
        busy.join()
    assert sorted(model.answers(project("next"), LABELS, tasks(1), soon())) == [1]
    assert loaded == ["slow", "next"]


def test_a_host_that_does_not_answer_costs_only_its_own_image(settings: ServerSettings) -> None:
    released = threading.Event()

    class Hanging(Images):
        def fetch(self, reference: object, task_id: int) -> bytes:
            if task_id == 2:
                released.wait(30)
            return super().fetch(reference, task_id)

    try:
        found = live(settings, Hanging()).answers(project(), LABELS, tasks(1, 2, 3), time.monotonic() + 1.0)
    finally:
        released.set()
    assert sorted(found) == [1, 3]


def test_a_model_is_loaded_once_and_the_last_few_are_kept(settings: ServerSettings) -> None:
    loaded: list[str] = []

    def load(folder: Path) -> Brightness:
        loaded.append(folder.name)
        return Brightness()

    model = live(settings, Images(), load)
    for name in ("0", "0", *map(str, range(1, MODELS)), "0", "new", "0", "1"):
        model.answers(project(name), LABELS, tasks(1), soon())
    assert loaded == [*map(str, range(MODELS)), "new", "1"]


def test_a_folder_that_was_written_anew_is_loaded_anew(settings: ServerSettings) -> None:
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
        model.answers(project("m"), LABELS, tasks(1), soon())
    assert loaded == [folder, folder]


@pytest.mark.parametrize("error", [StoreCorrupt("Damaged."), ZeroDivisionError("A bug.")])
def test_a_model_that_cannot_be_loaded_leaves_the_answers_empty(
    settings: ServerSettings, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def load(_: Path) -> Brightness:
        raise error

    assert live(settings, Images(), load).answers(project(), LABELS, tasks(1), soon()) == {}
    assert str(error) in caplog.text


def test_without_address_or_token_the_answers_are_empty(settings: ServerSettings, caplog: pytest.LogCaptureFixture) -> None:
    model = LiveModel(settings, load=lambda _: Brightness())
    assert model.answers(project(), LABELS, tasks(1), soon()) == {}
    assert "LABEL_STUDIO_URL" in caplog.text
