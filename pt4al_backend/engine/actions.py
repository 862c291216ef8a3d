"""What people do to a project. It is written down, with who did it, before a worker hears of it; ``reconcile`` carries it out.

A second press changes nothing that the first has not changed, and neither do two people who act at once.
"""

import time
from collections.abc import Sequence
from typing import Unpack

from pt4al_backend.engine.disconnected import CONNECT_AGAIN
from pt4al_backend.engine.work_queue import WorkQueue, start_training
from pt4al_backend.errors import NotNow, UnknownProject
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import ActionKind, Project, ProjectColumns, RoundState
from pt4al_backend.state.store import Store


class Actions:
    """Notes what a person wants of one project, and asks for a look at it. Each returns a sentence on what follows.

    Args:
        who: who acts, for the log that the page shows.

    Raises:
        UnknownProject: it never connected.
        NotNow: Label Studio does not list this backend for it any more.
    """

    def __init__(self, store: Store, queue: WorkQueue, project_id: int, who: str) -> None:
        self._store, self._queue, self._who = store, queue, who
        found = store.project(project_id)
        if found is None:
            raise UnknownProject(project_id)
        if found.let_go_at is not None:
            raise NotNow("Label Studio does not list this backend for the project any more.", CONNECT_AGAIN)
        self._project: Project = found

    @property
    def id(self) -> int:
        """The project's."""
        return self._project.id

    @property
    def project(self) -> Project:
        """Its row when this began."""
        return self._project

    def note_done(self, what: ActionKind, detail: str) -> None:
        """Notes what was done in Label Studio itself."""
        self._act(what, detail)

    def train(self) -> str:
        """Trains on the labels that are in, as Start Training does."""
        self._act(ActionKind.TRAIN)
        start_training(self._store, self._queue, self._project.id)
        return self._when("A training is requested.")

    def pause(self) -> str:
        """Publishes and trains nothing more, until ``resume``. Answers are still recorded."""
        if self._project.paused_at is not None:
            return "The project is paused already."
        self._act(ActionKind.PAUSE, paused_at=time.time())
        return "The project is paused: nothing is published or trained. Answers are still recorded."

    def resume(self) -> str:
        """Goes on where it was paused."""
        if self._project.paused_at is None:
            return "The project is not paused."
        self._act(ActionKind.RESUME, paused_at=None, to_put_back=False)
        return "The project goes on where it was paused."

    def close_round(self, number: int) -> str:
        """Closes a round whatever it waits for: trains on the labels that are in, and opens the next one.

        Raises:
            NotNow: it has no query yet.
        """
        if not self._is_open(number):
            return f"Round {number} is not open any more."
        if self._project.round_to_close != number:
            self._act(ActionKind.CLOSE_ROUND, f"round {number}", round_to_close=number)
        return self._when(f"Round {number} will be closed, and the next one opens.")

    def add_control_picks(self, number: int, total: int) -> str:
        """Gives a round control picks until it has ``total``, as far as there are tasks.

        Raises:
            NotNow: it has no query yet.
        """
        if not self._is_open(number):
            return f"Round {number} is not open any more."
        progress = self._store.pick_progress(self._project.id, number).get(PickKind.CONTROL)
        if progress and progress.picks >= total:
            return f"Round {number} has {progress.picks} control picks already."
        self._store.want_controls(self._project.id, number, total, self._who)
        self._queue.request(self._project.id)
        return self._when(f"Round {number} gets {total} control picks, as far as there are images for them.")

    def label_next(self, task_ids: Sequence[int]) -> tuple[dict[int, str], str]:
        """Serves tasks before all others, in their order; returns those that cannot be and why, and the sentence."""
        wanted = list(dict.fromkeys(task_ids))
        left_out = self._store.not_to_label(self._project.id, wanted)
        chosen = [task_id for task_id in wanted if task_id not in left_out]
        if chosen:
            self._store.choose(self._project.id, chosen, self._who)
            self._queue.request(self._project.id)
        number = f"{len(chosen):,} {'task is' if len(chosen) == 1 else 'tasks are'} served next."
        return left_out, self._when(number) if chosen else "None of these tasks can be labelled."

    def withdraw_choices(self, task_ids: Sequence[int] | None) -> tuple[int, str]:
        """Leaves these tasks, or all that people want labelled next, to the strategy again; how many, and the sentence."""
        count = len(self._store.withdraw(self._project.id, task_ids, self._who))
        if not count:
            return 0, "None of these tasks waits because a person chose it."
        self._queue.request(self._project.id)
        number = f"{count:,} {'choice is' if count == 1 else 'choices are'} withdrawn."
        return count, self._when(f"{number} Those that are control picks stay in the queue.")

    def put_back(self) -> str:
        """Pauses the project, and gives Label Studio back the task sampling and the model version that it had before."""
        if not self._project.chosen_before:
            return "Nothing was replaced in Label Studio that could be put back."
        if not self._project.to_put_back:
            paused_at = self._project.paused_at or time.time()
            self._act(ActionKind.PUT_BACK, paused_at=paused_at, to_put_back=True)
        return "The project is paused, and Label Studio gets back what people had chosen there."

    def _act(self, what: ActionKind, detail: str = "", **columns: Unpack[ProjectColumns]) -> None:
        self._store.act(self._project.id, self._who, what, detail, columns)
        self._queue.request(self._project.id)

    def _is_open(self, number: int) -> bool:
        """Whether a round is the open one; False if it was closed meanwhile."""
        current = self._store.round(self._project.id, number)
        if current is None or current.state == RoundState.STARTING:
            raise NotNow(f"Round {number} has no query yet.", "It opens as soon as the images are ranked.")
        return current.state == RoundState.OPEN

    def _when(self, sentence: str) -> str:
        return f"{sentence} The project is paused: that follows when it is resumed." if self._project.paused_at else sentence
