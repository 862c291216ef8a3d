"""What a model says of control picks and candidates, gathered as it is said: memory grows by numbers, not by masks."""

from heapq import heappush, heapreplace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.masks import Masks
from pt4al_backend.minibatches import Targets
from pt4al_backend.sampling import SAMPLERS
from pt4al_backend.tasks.base import Answer, Task


class Examination:
    """Takes what ``task.look`` saw of control picks first, then of candidates.

    Args:
        task: whose model answers.
        truths: what the annotators said of the control picks.
        controls, candidates: how many there are of each.
        sampler: the confidence by which the least confident candidates are told.
        masks: where the task puts answers that are masks.
    """

    def __init__(self, task: Task, truths: Targets, controls: int, candidates: int, sampler: str, masks: Path) -> None:
        self._task, self._truths, self._controls, self._sampler = task, truths, controls, sampler
        self._masks = Masks(masks)
        self._tallies = [task.tally([], truths[np.empty(0, np.int64)])]
        self._confidences = {name: np.empty(candidates) for name in SAMPLERS}
        self._answers = [""] * candidates
        self._kept: list[tuple[float, int]] = []  # a heap of (-confidence, candidate), the most confident first
        self._written = 0

    def take(self, positions: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        """Takes the rows of ``look`` for positions that ascend, 0..controls+candidates-1.

        Raises:
            TrainingImpossible: the model has diverged.
            OSError: the disk is full or failing.
        """
        confidences, answers = self._task.say(rows)
        split = int(np.searchsorted(positions, self._controls))
        self._tallies.append(self._task.tally(answers[:split], self._truths[positions[:split]]))
        candidates = positions[split:] - self._controls
        for name, values in confidences.items():
            self._confidences[name][candidates] = values[split:]
        unsure = confidences[self._sampler][split:].tolist()
        for candidate, confidence, answer in zip(candidates.tolist(), unsure, answers[split:], strict=True):
            self._keep(candidate, confidence, answer)

    def _keep(self, candidate: int, confidence: float, answer: Answer) -> None:
        most = self._task.most_answers
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

    def control(self) -> dict[str, Any]:
        """How well the model did on the control picks."""
        return self._task.metrics(np.concatenate(self._tallies))

    def save(self, folder: Path) -> None:
        """Writes ``candidates.npz``: the confidences by name, float64 [m], and ``labels``, "" where no answer is kept."""
        self._prune()
        arrays: dict[str, NDArray[Any]] = {"labels": np.array(self._answers, np.str_), **self._confidences}
        np.savez_compressed(folder / "candidates.npz", **arrays)  # type: ignore[arg-type]
