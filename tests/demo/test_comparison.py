"""What the demo measures of models, and the table that it shows."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pt4al_backend.config import ProjectSettings
from pt4al_backend.datasets.folder_images import FolderImages
from pt4al_backend.demo import comparison
from pt4al_backend.demo.comparison import Exam, RandomQuery, Row
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import KEEP, Shape
from pt4al_backend.jobs.spec import LearnSpec
from pt4al_backend.measures import Control
from tests.support.folders import KINDS, READER, of_task

pytestmark = pytest.mark.slow

SHAPE = (32, 32)


def round_job(images: FolderImages, pixels: Path, shape: Shape) -> LearnSpec:
    """A round's job, as the backend writes it beside the pool's frames."""
    with FrameFile(pixels, shape) as store:
        for row, path in enumerate(images.pool):
            store.write(row, KEEP[images.task](decode(path.read_bytes(), READER.max_pixels).image, shape))
    options = ProjectSettings(width=8, epochs=1, warm_start=True, **images.params)
    return LearnSpec(
        task=images.task,
        masks=Path("/nowhere"),
        settings=options,
        device="cpu",
        pretrained="off",
        frames=pixels,
        stored=shape,
        shape=shape,
        previous=Path("/nowhere"),
        classes=tuple(images.classes),
    )


@pytest.mark.parametrize("task", KINDS)
def test_random_query_is_trained_and_measured_like_the_rounds(tmp_path: Path, task: str) -> None:
    images = of_task(task, tmp_path / "images", 16, size=(32, 32))
    exam = Exam(images, tmp_path / "exam", SHAPE, READER.max_pixels)
    pool = dict(enumerate(images.pool))
    query = RandomQuery(tmp_path / "random", round_job(images, tmp_path / "pixels", SHAPE), images, pool, exam)
    done: list[None] = []
    values = query.measure([8], 1, lambda: done.append(None))
    assert len(done) == 1
    (model,) = (tmp_path / "random").glob("*/result")
    measured = exam.measure(model)
    assert measured["total"] == len(images.test)
    assert values == [measured["value"]]
    assert 0 <= measured["low"] <= measured["value"] <= measured["high"] <= 1


def measured(value: float, metric: str = "accuracy") -> dict[str, Any]:
    return {"metric": metric, "value": value, "low": value - 0.04, "high": value + 0.03, "total": 450}


def shown(rows: list[Row], tested: int = 450) -> str:
    text = StringIO()
    console = Console(width=80, file=text)
    console.print(comparison.table(rows, tested, "PT4AL"))
    console.print(comparison.caution(rows, "PT4AL"))
    return text.getvalue()


@pytest.mark.parametrize("metric", ["accuracy", "mIoU"])
def test_table_shows_each_round_and_how_little_it_proves(metric: str) -> None:
    control = Control(metric=metric, value=0.75, low=0.41, high=0.93, total=8)
    rows = [
        Row(1, 36, control, measured(0.604, metric), [0.70, 0.60, 0.65]),
        Row(2, 72, Control(metric=metric), measured(0.824, metric), [0.78, 0.80, 0.82]),
    ]
    text = shown(rows)
    assert f"{metric} on 450 test images" in text
    assert "75% (41 to 93), n = 8" in text
    assert "60.4%" in text
    assert "65.0% (60.0 to 70.0)" in text
    assert "3 random draws" in text
    assert "2.4 points ahead of random" in " ".join(text.split())  # 82.4 against the mean of 78, 80 and 82
    assert "±3.5" in text
    assert max(map(len, text.splitlines())) <= 80


def test_round_without_a_model_is_shown_as_such() -> None:
    text = shown([Row(1, 4, Control(metric="accuracy"))])
    assert "no model" in text
    assert "No model could be compared" in text


def rounds(*values: float) -> list[Row]:
    """Rounds of 20 labels more each, whose random queries are five points behind."""
    return [Row(number, 20 * number, Control(), {"value": value}, [value - 0.05]) for number, value in enumerate(values, 1)]


def test_labels_that_random_queries_need_are_read_off_their_curve() -> None:
    assert "about 60 labels for it, where these are 40" in comparison.needed(rounds(0.5, 0.7), {80: [0.75, 0.75]})
    assert "do not get there with 80 labels, where these are 40" in comparison.needed(rounds(0.5, 0.7), {80: [0.6]})
    assert comparison.needed(rounds(0.5, 0.7), {}) == ""


def test_random_queries_go_no_further_than_the_pool() -> None:
    assert comparison.further(40, 100) == [60, 80]
