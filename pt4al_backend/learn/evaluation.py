"""What a model says of control picks and candidates, gathered as it is said: memory grows by numbers, not by masks.

What strategies want beside confidences is kept as float16, which is half of the numbers that a query then computes with.

Masks are kept of those candidates that are likely to be asked. Where a sampler asks, these are the least confident by it. What
companions and graphs ask is known only afterwards, but they draw ``SUBSET`` candidates, and all of these have their mask. What
covers the whole of a larger pool by features (``core_set``, ``badge``, ``typiclust``), or a batch of PT4AL's that is larger
(``k_center``, ``normalised_confidence``), can ask a task without one: its prediction then shows no regions.
"""

from heapq import heappush, heapreplace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.learn.minibatches import Targets
from pt4al_backend.learn.tasks.base import Answer, MainTask
from pt4al_backend.query.confidence import SAMPLERS
from pt4al_backend.query.strategies.companionship import SUBSET


def half(rows: NDArray[np.floating]) -> NDArray[np.float16]:
    """Rounded to float16; what is too large becomes the largest."""
    largest = np.finfo(np.float16).max
    rounded: NDArray[np.float16] = np.clip(rows, -largest, largest).astype(np.float16)
    return rounded


def sampler_of(settings: ProjectSettings) -> str:
    """The sampler by which a project's strategy asks, "" if it asks by something else."""
    name = settings.sampler if settings.strategy == "pt4al" else settings.strategy
    return name if name in SAMPLERS else ""


class Evaluation:
    """Takes what ``task.study`` saw of control picks first, then of candidates, then of the images that were learned.

    Args:
        task: whose model answers.
        truths: what the annotators said of the control picks.
        controls, candidates: how many there are of each.
        sampler: the confidence by which the least confident candidates are told, "" if they are asked by something else.
        masks: where the task puts answers that are masks.
        wants: what is kept beside confidences, of "features" and "posteriors".
    """

    def __init__(
        self,
        task: MainTask,
        truths: Targets,
        controls: int,
        candidates: int,
        sampler: str,
        masks: Path,
        wants: frozenset[str] = frozenset(),
    ) -> None:
        self._task, self._truths, self._controls = task, truths, controls
        self._sampler = sampler or "least_confidence"
        most = task.most_answers
        self._most = most if most is None or sampler else max(most, SUBSET)
        self._masks = MaskFiles(masks)
        widths = {"posteriors": len(task.classes)} if "posteriors" in wants else {}
        if "features" in wants:
            widths |= {"features": task.body.features, "labelled": task.body.features}
        self._wanted = {name: [np.empty((0, width), np.float16)] for name, width in widths.items()}
        self._tallies = [task.tally([], truths[np.empty(0, np.int64)])]
        self._confidences = {name: np.empty(candidates) for name in SAMPLERS}
        self._answers = [""] * candidates
        self._kept: list[tuple[float, int]] = []  # a heap of (-confidence, candidate), the most confident first
        self._written = 0

    def take(self, positions: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        """Takes the rows of ``study`` for positions that ascend; those of the images that were learned come last.

        Raises:
            TrainingImpossible: the model has diverged.
            OSError: the disk is full or failing.
        """
        split, end = np.searchsorted(positions, [self._controls, self._controls + len(self._answers)]).tolist()
        features, *looked = (each[:end] for each in rows)
        self._keep_wanted("features", features[split:])
        self._keep_wanted("labelled", rows[0][end:])
        if end:
            self._take(positions[:end], tuple(looked), split)

    def _take(self, positions: NDArray[np.int64], looked: tuple[NDArray[Any], ...], split: int) -> None:
        confidences, answers = self._task.say(looked)
        if "posteriors" in self._wanted:
            self._keep_wanted("posteriors", self._task.posteriors(looked)[split:])
        self._tallies.append(self._task.tally(answers[:split], self._truths[positions[:split]]))
        candidates = positions[split:] - self._controls
        for name, values in confidences.items():
            self._confidences[name][candidates] = values[split:]
        unsure = confidences[self._sampler][split:].tolist()
        for candidate, confidence, answer in zip(candidates.tolist(), unsure, answers[split:], strict=True):
            self._keep(candidate, confidence, answer)

    def _keep_wanted(self, name: str, rows: NDArray[np.floating]) -> None:
        if name in self._wanted:
            self._wanted[name].append(half(rows))

    def _keep(self, candidate: int, confidence: float, answer: Answer) -> None:
        most = self._most
        if most is not None:
            if len(self._kept) < most:
                heappush(self._kept, (-confidence, candidate))
            elif confidence < -self._kept[0][0]:
                _, gone = heapreplace(self._kept, (-confidence, candidate))
                self._answers[gone] = ""
            else:
                return
        self._answers[candidate] = self._task.write(answer, self._masks)
        self._written += 1
        if most is not None and self._written > 2 * most:
            self._prune()

    def _prune(self) -> None:
        self._masks.prune(set(self._answers))
        self._written = len(self._kept)

    def add(self, name: str, confidences: NDArray[np.float64]) -> None:
        """Confidences of all candidates by something else than the task's model, float64 [m]."""
        self._confidences[name] = confidences

    def control(self) -> dict[str, Any]:
        """How well the model did on the control picks."""
        return self._task.metrics(np.concatenate(self._tallies))

    def save(self, folder: Path) -> None:
        """Writes ``candidates.npz``: the confidences by name, float64 [m], and ``labels``, "" where no answer is kept.

        And what was wanted, float16: ``features.npy`` [m, d] with ``labelled.npy`` [l, d], ``posteriors.npy`` [m, C].
        """
        self._prune()
        arrays: dict[str, NDArray[Any]] = {"labels": np.array(self._answers, np.str_), **self._confidences}
        np.savez_compressed(folder / "candidates.npz", **arrays)  # type: ignore[arg-type]
        for name, parts in self._wanted.items():
            np.save(folder / f"{name}.npy", np.concatenate(parts))
