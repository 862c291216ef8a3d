"""How good the rounds' models are on images that were never in the pool, beside models of randomly drawn labels.

The random query gets as many training labels as PT4AL's, from the same pool, the same initial weights and recipe. It is
nested, as rounds are: each size holds the smaller ones.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from pt4al_backend import children
from pt4al_backend.frames import Shape, crop
from pt4al_backend.images import decode
from pt4al_backend.pixels import Pixels

SEEDS = (1, 2, 3)
TOGETHER = 2  # trainings at a time, of one thread each: on minibatches this small a second thread gains little

Json = dict[str, Any]
Labels = NDArray[np.str_]
Squares = NDArray[np.uint8]


@dataclass
class Row:
    """One round: training labels, the backend's measurement on the control picks, test accuracies."""

    number: int
    labels: int
    control: Json
    accuracy: float | None = None
    random: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Split:
    """Squares uint8 [n, S, S, 3] with the names of their classes."""

    squares: Squares
    labels: Labels


def split(files: Sequence[tuple[Path, str]], shape: Shape, max_pixels: int) -> Split:
    """Decodes files into frames as the backend does."""

    def read(path: Path) -> Squares:
        return crop(decode(path.read_bytes(), max_pixels, max(shape)), shape)

    with ThreadPoolExecutor() as threads:
        squares = list(threads.map(read, (path for path, _ in files)))
    return Split(np.stack(squares), np.array([label for _, label in files]))


def accuracy(model: Path, test: Split) -> float:
    """Share of the test images that a round's model gets right. Nothing was chosen by it: each round keeps its last epoch."""
    from pt4al_backend.predictor import Predictor  # imports torch

    answers, _ = Predictor.load(model).predict(test.squares)
    return float((np.array(answers) == test.labels).mean())


class RandomQuery:
    """Models of randomly drawn labels. ``job`` is a round's own, which says all that PT4AL's models got."""

    def __init__(self, folder: Path, job: Json, pool: Split, test: Split) -> None:
        self._folder = folder
        self._job = job
        self._pool = pool
        self._test = test
        self._pixels = folder / "pixels.u8"
        self._ended = Event()
        folder.mkdir(parents=True)
        with Pixels(self._pixels, tuple(job["stored"])) as pixels:
            for row, each in enumerate([*pool.squares, *test.squares]):
                pixels.write(row, each)
            pixels.flush()

    def measure(self, sizes: Sequence[int], seed: int, on_done: Callable[[], None]) -> list[float]:
        """Test accuracy of a model of each of ``sizes`` (ascending), drawn and trained with ``seed``."""
        os.environ["OMP_NUM_THREADS"] = "1"  # for the trainings, which inherit it
        order = np.random.default_rng(seed).permutation(len(self._pool.labels))

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

    def _train(self, rows: NDArray[np.int64], folder: Path, seed: int) -> float:
        job = {
            **self._job,
            "kind": "learn",
            "settings": {**self._job["settings"], "seed": seed, "warm_start": False},
            "pixels": str(self._pixels),
            "previous": None,
        }
        tests = len(self._pool.labels) + np.arange(len(self._test.labels))
        children.prepare(
            folder,
            job,
            train={"rows": rows, "labels": self._pool.labels[rows]},
            control={"rows": np.empty(0, np.int64), "labels": np.empty(0, np.str_)},
            candidates=tests,
        )
        result = children.run(folder, lambda _event: None, self._end_if_asked)
        with np.load(result / "candidates.npz") as said:
            return float((said["labels"] == self._test.labels).mean())

    def _end_if_asked(self) -> None:
        if self._ended.is_set():
            raise CancelledError


def table(rows: Sequence[Row], tested: int, strategy: str) -> Table:
    """One line for each round; it fits 80 columns."""
    title = f"Accuracy on {tested:,} test images that were never in the pool, and on the control picks (95 % interval)"
    shown = Table("Round", "Labels", title=title, title_justify="left")
    shown.add_column(f"Test: {strategy}", justify="right")
    shown.add_column("Test: random query", justify="right")
    shown.add_column("Control picks")
    for row in rows:
        own = "no model" if row.accuracy is None else f"{row.accuracy:.1%}"
        shown.add_row(str(row.number), str(row.labels), own, _random(row.random), _control(row.control))
    return shown


def _control(control: Mapping[str, Any]) -> str:
    if not control.get("total"):
        return "none"
    return f"{control['value']:.0%} of {control['total']}, {control['low']:.0%} to {control['high']:.0%}"


def _random(accuracies: Sequence[float]) -> str:
    if not accuracies:
        return ""
    mean = f"{np.mean(accuracies):.1%}"
    return f"{mean} ({100 * min(accuracies):.1f} to {100 * max(accuracies):.1f})" if len(accuracies) > 1 else mean


def caution(rows: Sequence[Row], tested: int, strategy: str) -> str:
    """What the table does not show: how little it is."""
    drawn = max((len(row.random) for row in rows), default=0)
    last = next((row for row in reversed(rows) if row.accuracy is not None and row.random), None)
    if last is None or last.accuracy is None:
        return "No model could be compared."
    difference = 100 * (last.accuracy - float(np.mean(last.random)))
    error = 100 * float(np.sqrt(last.accuracy * (1 - last.accuracy) / tested))
    draws = f"{drawn} random draw" + ("s (mean, lowest to highest)" if drawn > 1 else "")
    return (
        f"Labels are those that trained; the control picks come on top. One run of {strategy} against {draws} with as many "
        "labels, the same initial weights and recipe. "
        f"After the last round it is {difference:+.1f} points from random; the choice of {tested:,} test images alone "
        f"moves such a figure by ±{1.96 * error:.1f}, the draw of so few labels by more. "
        "One run on a small project shows that the loop works; it does not tell which query is better."
    )
