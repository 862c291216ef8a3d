"""How good the rounds' models are on images that were never in the pool, beside models of randomly drawn labels.

The random query gets as many training labels as PT4AL's, from the same pool, the same initial weights and recipe. It is
nested, as rounds are: each size holds the smaller ones.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from pt4al_backend.aliases import Json
from pt4al_backend.artefacts import HEAD
from pt4al_backend.datasets.folder_images import FolderImages
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frames import KEEP, Shape
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.run import LocalRunner, Runner
from pt4al_backend.jobs.spec import LearnSpec
from pt4al_backend.measures import Control
from pt4al_backend.progress import silent

#: Draws where a training takes half a minute, and where it takes a second. The latter go beyond PT4AL's labels, so many times.
DRAWS, DRAWS_ON_FEATURES = 3, 10
FURTHER = (1.5, 2.0, 3.0)
TOGETHER = 2  # trainings at a time, of one thread each: on minibatches this small a second thread gains little


@dataclass
class Row:
    """One round: training labels, the measures of its model on the control picks and on the test images, and random's values."""

    number: int
    labels: int
    control: Control
    test: Json | None = None
    random: list[float] = field(default_factory=list)


class Exam:
    """The test images, framed and labelled as the backend does it. ``folder`` is for files."""

    def __init__(self, images: FolderImages, folder: Path, shape: Shape, max_pixels: int) -> None:
        def frame(path: Path) -> NDArray[np.uint8]:
            return KEEP[images.task](decode(path.read_bytes(), max_pixels, max(shape)).image, shape)

        folder.mkdir(parents=True)
        with ThreadPoolExecutor() as threads:
            self._frames = np.stack(list(threads.map(frame, images.test)))
        self._folder = folder
        self._masks = MaskFiles(folder / "masks")
        self._labels = images.labels(images.test, self._masks)
        self._features: NDArray[np.float32] | None = None
        self._lock = Lock()

    def measure(self, model: Path) -> Json:
        """How well a model does, in the words of a round's ``control``.

        Nothing was chosen by it: each training keeps its last epoch.
        """
        from pt4al_backend.learn.predictor import Predictor  # imports torch
        from pt4al_backend.learn.saved import load_model

        with self._lock:
            saved = load_model(model)
            task = saved.task
            truths = task.targets(self._labels, self._masks, self._folder / "truths.u8")
            predictor = Predictor.of(saved, saved.device)
            if (model / HEAD).exists():  # all heads are on one encoder, which sees each image once
                if self._features is None:
                    self._features = predictor.features(self._frames)
                answers = predictor.answers(self._features)
            else:
                answers, _ = predictor.predict(self._frames)
            return dict(task.metrics(task.tally(answers, truths[np.arange(len(answers))])))


class RandomQuery:
    """Models of randomly drawn labels, trained as a round's was.

    Args:
        folder: takes the trainings.
        job: of a round, with all that PT4AL's models got.
        images: who knows the answers.
        pool: rows of the backend's frames, with their files.
        exam: measures the models.
        runner: where they are trained; None: in child processes.
    """

    def __init__(
        self,
        folder: Path,
        job: LearnSpec,
        images: FolderImages,
        pool: Mapping[int, Path],
        exam: Exam,
        runner: Runner | None = None,
    ) -> None:
        masks = folder / "masks"
        self._folder = folder
        self._job = job.model_copy(update={"masks": masks, "previous": None})
        self._runner = runner or LocalRunner()
        self._rows = np.array(list(pool), np.int64)
        self._labels = np.array(images.labels(list(pool.values()), MaskFiles(masks)), np.str_)
        self._exam = exam
        self._ended = Event()

    @property
    def pool(self) -> int:
        """Images that can be drawn."""
        return len(self._rows)

    def measure(self, sizes: Sequence[int], seed: int, on_done: Callable[[], None]) -> list[float]:
        """What the test gives for a model of each of ``sizes`` (ascending), drawn and trained with ``seed``."""
        os.environ["OMP_NUM_THREADS"] = "1"  # for the trainings, which inherit it
        order = np.random.default_rng(seed).permutation(len(self._rows))

        def train(size: int) -> float:
            found = self._train(order[:size], self._folder / f"seed-{seed}-labels-{size}", seed)
            on_done()
            return found

        with ThreadPoolExecutor(TOGETHER) as threads:
            try:
                return list(threads.map(train, sizes))
            except BaseException:  # Ctrl-C: leaving waits for the trainings, so they have to end
                self._ended.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _train(self, drawn: NDArray[np.int64], folder: Path, seed: int) -> float:
        none = np.empty(0, np.int64)
        prepare(
            folder,
            self._job.changed(seed=seed, warm_start=False),
            train={"rows": self._rows[drawn], "labels": self._labels[drawn]},
            control={"rows": none, "labels": np.empty(0, np.str_)},
            candidates=none,
        )
        return float(self._exam.measure(self._runner.run(folder, silent, self._end_if_asked))["value"])

    def _end_if_asked(self) -> None:
        if self._ended.is_set():
            raise CancelledError


def further(labels: int, pool: int) -> list[int]:
    """Numbers of labels beyond PT4AL's at which random queries are measured as well, as far as the pool goes."""
    return [round(labels * times) for times in FURTHER if labels * times <= pool]


def needed(rows: Sequence[Row], beyond: Mapping[int, Sequence[float]]) -> str:
    """How many labels random queries need for what the last model has, in a sentence; "" if nothing was measured."""
    trained = [row for row in rows if row.test is not None and row.random]
    if not trained or not beyond or trained[-1].test is None:
        return ""
    value, labels = float(trained[-1].test["value"]), trained[-1].labels
    curve = {**{row.labels: row.random for row in trained}, **beyond}
    sizes = np.array(sorted(curve))
    means = np.array([np.mean(curve[size]) for size in sizes.tolist()])
    there = np.flatnonzero(means >= value)
    if not len(there):
        return f"Random queries do not get there with {sizes[-1]:,} labels, where these are {labels:,}."
    first = int(there[0])
    around = slice(max(first - 1, 0), first + 1)
    wanted = np.interp(value, means[around], sizes[around])
    return f"Random queries need about {wanted:,.0f} labels for it, where these are {labels:,}."


def table(rows: Sequence[Row], tested: int, strategy: str) -> Table:
    """One line for each round; it fits 80 columns."""
    metric = next((row.test["metric"] for row in rows if row.test), "measure")
    where = f"{tested:,} test images that were never in the pool, and on the control picks (95 % interval)"
    shown = Table("Round", "Labels", title=f"Each model's {metric} on {where}", title_justify="left")
    shown.add_column(f"Test: {strategy}", justify="right")
    shown.add_column("Test: random query", justify="right")
    shown.add_column("Control picks")
    for row in rows:
        own = "no model" if row.test is None else f"{row.test['value']:.1%}"
        shown.add_row(str(row.number), str(row.labels), own, _random(row.random), _control(row.control))
    return shown


def _control(control: Control) -> str:
    if control.value is None or control.low is None or control.high is None:
        return "none"
    return f"{control.value:.0%} ({100 * control.low:.0f} to {100 * control.high:.0f}), n = {control.total}"


def _random(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = f"{np.mean(values):.1%}"
    return f"{mean} ({100 * min(values):.1f} to {100 * max(values):.1f})" if len(values) > 1 else mean


def caution(rows: Sequence[Row], strategy: str) -> str:
    """What the table does not show: how little it proves."""
    drawn = max((len(row.random) for row in rows), default=0)
    last = next((row for row in reversed(rows) if row.test is not None and row.random), None)
    if last is None or last.test is None:
        return "No model could be compared."
    difference = 100 * (last.test["value"] - float(np.mean(last.random)))
    side = "behind" if difference < 0 else "ahead of"
    error = 50 * (last.test["high"] - last.test["low"])
    draws = f"{drawn} random draw" + ("s (mean, lowest to highest)" if drawn > 1 else "")
    return (
        f"Labels are those that trained; the control picks come on top. One run of {strategy} against {draws} with as many "
        "labels, the same initial weights and recipe. "
        f"After the last round it is {abs(difference):.1f} points {side} random; the choice of {last.test['total']:,} images "
        f"alone moves such a figure by ±{error:.1f}, the draw of so few labels by more. "
        "One run on a small project shows that the loop works; it does not show which query is better."
    )
