"""A model's predictions for control picks and candidates, gathered minibatch by minibatch: memory grows by numbers, not by masks.

What strategies need beside confidences is kept as float16, half of the memory of the numbers that a query then computes with.

Masks are kept of those candidates that are likely to be queried. Where a sampler chooses, these are the least confident by it.
What companions choose is known only afterwards, but they draw ``SUBSET`` candidates, and all of these keep their mask.
What compares the whole of a larger pool by features (every ``Covering``, and PT4AL's sampler ``herding``), or a larger batch of
PT4AL's (``k_center``, ``normalised_confidence``), can query a task without one: its prediction shows no regions.
"""

from heapq import heappush, heapreplace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.learn.labels.base import Answer, LabelSpace, Metrics, Targets
from pt4al_backend.query.confidence import SAMPLERS
from pt4al_backend.query.strategies.learned import SUBSET

#: The file of a model's answers to the control picks, str [c], in their order.
CONTROL_ANSWERS = "control_answers.npy"


def to_float16(rows: NDArray[np.floating]) -> NDArray[np.float16]:
    """Rounds to float16; what is too large becomes the largest."""
    largest = np.finfo(np.float16).max
    rounded: NDArray[np.float16] = np.clip(rows, -largest, largest).astype(np.float16)
    return rounded


def sampler_of(settings: ProjectSettings) -> str:
    """The sampler that a project's strategy chooses by, "" if it chooses by something else."""
    name = settings.rules().sampler if settings.strategy == "pt4al" else settings.strategy
    return name if name in SAMPLERS else ""


class Evaluation:
    """Takes the rows of ``MainTask.predict_with_features``: control picks, then candidates, then the images that were learned.

    Args:
        labels: of the main task.
        width: of the features.
        targets: the annotators' labels of the control picks.
        controls, candidates: how many there are of each.
        sampler: the confidence that decides which candidates are the least confident, "" if something else queries them.
        masks: the folder for answers that are masks.
        keep: what is kept beside confidences, of "features" and "posteriors"; others are up to the caller.
    """

    def __init__(
        self,
        labels: LabelSpace,
        width: int,
        targets: Targets,
        controls: int,
        candidates: int,
        sampler: str,
        masks: Path,
        keep: frozenset[str] = frozenset(),
    ) -> None:
        self._labels, self._targets, self._controls = labels, targets, controls
        self.keep, self.candidates = keep, slice(controls, controls + candidates)
        self._sampler = sampler or "least_confidence"
        limit = labels.max_answers
        self._limit = limit if limit is None or sampler else max(limit, SUBSET)
        self._masks = MaskFiles(masks)
        widths = {"features": width, "posteriors": len(labels.classes)}
        self._rows = {name: np.empty((candidates, width), np.float16) for name, width in widths.items() if name in keep}
        self._labelled = [np.empty((0, width), np.float16)]
        self._tallies = [labels.tally([], targets[np.empty(0, np.int64)])]
        self._confidences = {name: np.empty(candidates) for name in SAMPLERS}
        self._answers = [""] * candidates
        self._control_answers: list[str] = []
        self._kept: list[tuple[float, int]] = []  # a heap of (-confidence, candidate), the most confident first
        self._written = 0

    def add(self, positions: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        """Adds the rows of ``predict_with_features`` for ascending positions; those of the images that were learned come last.

        Raises:
            TrainingImpossible: the model has diverged.
            OSError: the disk is full or failing.
        """
        split, end = np.searchsorted(positions, [self._controls, self._controls + len(self._answers)]).tolist()
        features, *predicted = (each[:end] for each in rows)
        self._add_rows("features", positions[split:end], features[split:])
        if "features" in self._rows:
            self._labelled.append(to_float16(rows[0][end:]))
        if end:
            self._add_answers(positions[:end], tuple(predicted), split)

    def _add_answers(self, positions: NDArray[np.int64], predicted: tuple[NDArray[Any], ...], split: int) -> None:
        confidences, answers = self._labels.interpret(predicted)
        if "posteriors" in self._rows:
            self._add_rows("posteriors", positions[split:], self._labels.posteriors(predicted)[split:])
        self._tallies.append(self._labels.tally(answers[:split], self._targets[positions[:split]]))
        if self._labels.max_answers is None:  # masks are too large to be kept for a page
            self._control_answers += [self._labels.store(answer, self._masks) for answer in answers[:split]]
        candidates = positions[split:] - self._controls
        for name, values in confidences.items():
            self._confidences[name][candidates] = values[split:]
        unsure = confidences[self._sampler][split:].tolist()
        for candidate, confidence, answer in zip(candidates.tolist(), unsure, answers[split:], strict=True):
            self._add_answer(candidate, confidence, answer)

    def _add_rows(self, name: str, positions: NDArray[np.int64], rows: NDArray[np.floating]) -> None:
        if name in self._rows:
            self._rows[name][positions - self._controls] = to_float16(rows)

    def _add_answer(self, candidate: int, confidence: float, answer: Answer) -> None:
        limit = self._limit
        if limit is not None:
            if len(self._kept) < limit:
                heappush(self._kept, (-confidence, candidate))
            elif confidence < -self._kept[0][0]:
                _, dropped = heapreplace(self._kept, (-confidence, candidate))
                self._answers[dropped] = ""
            else:
                return
        self._answers[candidate] = self._labels.store(answer, self._masks)
        self._written += 1
        if limit is not None and self._written > 2 * limit:
            self._prune()

    def _prune(self) -> None:
        self._masks.prune(set(self._answers))
        self._written = len(self._kept)

    def add_confidences(self, name: str, confidences: NDArray[np.float64]) -> None:
        """Adds confidences of all candidates by something else than the task's model, float64 [m]."""
        self._confidences[name] = confidences

    def control_metrics(self) -> Metrics:
        """How well the model did on the control picks."""
        return self._labels.metrics(np.concatenate(self._tallies))

    def outputs(self) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.str_], dict[str, NDArray[np.float16]]]:
        """Of the candidates: the confidences by name, float64 [m], and the answers, str [m], "" where none is kept.

        And what was to be kept, float16: "features" [m, d] with "labelled" [l, d], "posteriors" [m, C].
        """
        self._prune()
        kept = dict(self._rows)
        if "features" in kept:
            kept["labelled"] = np.concatenate(self._labelled)
        return self._confidences, np.array(self._answers, np.str_), kept

    def save(self, folder: Path) -> None:
        """Writes ``outputs``: confidences and answers, as ``labels``, into ``candidates.npz``, the others as ``NAME.npy``.

        The answers to the control picks go into ``CONTROL_ANSWERS``, unless they are masks.
        """
        confidences, labels, kept = self.outputs()
        arrays: dict[str, NDArray[Any]] = {"labels": labels, **confidences}
        np.savez_compressed(folder / "candidates.npz", **arrays)  # type: ignore[arg-type]
        if self._labels.max_answers is None:
            np.save(folder / CONTROL_ANSWERS, np.array(self._control_answers, np.str_))
        for name, rows in kept.items():
            np.save(folder / f"{name}.npy", rows)
