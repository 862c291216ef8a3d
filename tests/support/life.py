"""One project's rounds on a state without Label Studio, and everything that the engine would do between them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.measures import PretextQuality
from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

PROJECT = 5


class Life:
    """One project's rounds, and everything that the engine would do between them."""

    def __init__(self, store: Store, tasks: int = 0, **params: Any) -> None:
        self.store = store
        self.options = ProjectSettings(**params)
        self.add(range(1, tasks + 1))

    @property
    def rounds(self) -> Rounds:
        project = self.store.project(PROJECT)
        assert project is not None
        return Rounds(self.store, project, self.options)

    @property
    def number(self) -> int:
        project = self.store.project(PROJECT)
        assert project is not None
        return project.round

    @property
    def batch(self) -> int:
        """The batch of the open round."""
        found = self.store.round(PROJECT, self.number)
        assert found is not None
        return found.batch

    def add(self, ids: Iterable[int]) -> None:
        self.store.put_tasks(PROJECT, [{"id": i, "image": f"/data/upload/{i}.png", "problem": ""} for i in ids])

    def rank(self, seed: int = 0, *, meaningful: bool = True) -> dict[int, float]:
        """Gives every task a row, a loss and a batch; returns the losses."""
        tasks = self.store.tasks(PROJECT)
        losses = np.random.default_rng(seed).permutation(len(tasks)) / len(tasks)
        self.store.set_tasks(PROJECT, {"id": tasks.ids, "row": np.arange(len(tasks)), "loss": losses})
        self.store.change(PROJECT, quality=PretextQuality(meaningful=meaningful))
        ids, cut = self.rounds.batches(self.rounds.pool(), max(self.number, 1), meaningful=meaningful, from_scratch=True)
        self.store.set_tasks(PROJECT, {"id": ids, "batch": cut})
        return dict(zip(tasks.ids.tolist(), losses.tolist(), strict=True))

    def open(self, *, meaningful: bool = True) -> dict[int, float]:
        """Ranks the pool and opens the first round; returns the losses."""
        losses = self.rank(meaningful=meaningful)
        self.rounds.start()
        self.rounds.open_first(StoredOutput)
        return losses

    def picks(self, *kinds: str) -> list[int]:
        found = self.store.picks(PROJECT, self.number)
        return [pick.task_id for pick in found if not kinds or pick.kind in kinds]

    def answer(self, ids: Iterable[int], kind: AnswerKind = AnswerKind.LABEL) -> None:
        self.store.put_answers(PROJECT, dict.fromkeys(ids, StoredAnswer(kind, "red")))

    def set_aside(self, ids: Iterable[int]) -> None:
        chosen = list(ids)
        self.store.set_tasks(PROJECT, {"id": chosen, "problem": ["not an image"] * len(chosen)})

    def score(self, confidence: NDArray[np.float64] | None = None) -> StoredOutput:
        """The output of a model of two classes for the next round's candidates; ``confidence`` is by task id."""
        self.rounds.cut_batches(self.number + 1)
        ids = self.rounds.candidates(self.number + 1)
        top = 0.5 + np.random.default_rng(self.number).random(len(ids)) / 2 if confidence is None else confidence[ids]
        return StoredOutput(ids, confidences(np.stack([top, 1 - top], 1)), np.full(len(ids), "red"))

    def turn(self, scored: StoredOutput | None = None) -> None:
        self.rounds.open_next(scored or self.score(), ClosedRound(labels=1, model=f"m{self.number}"))
