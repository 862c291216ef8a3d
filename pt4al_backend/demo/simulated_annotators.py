"""Annotators who know the answers: in turn they ask Label Studio for the next task, and label it."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

from pt4al_backend.datasets.folder_images import FolderImages
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.demo.backend_status import BackendStatus
from pt4al_backend.demo.screen import Screen
from pt4al_backend.errors import PT4ALError, Unreachable
from pt4al_backend.server.status import ProjectStatus, RoundStatus

LOOK_SECONDS = 0.5  # between two readings of the status
TROUBLE_SECONDS = 120.0  # that an error may last: the backend tries again by itself


class SimulatedAnnotators:
    """Labels round by round.

    At the end of a round the annotators stop until the next one is served, so that each round holds its query and no
    more. People would continue with the reserve meanwhile.

    Args:
        backend: where the project stands.
        annotators: who labels, by name; they take turns.
        project_id: the project.
        images: who knows the answers.
        files: each task's image file.
        screen: shows what they do.
        check: called before each reading of the status; raises if a server has ended.
    """

    def __init__(
        self,
        backend: BackendStatus,
        annotators: Mapping[str, Annotator],
        project_id: int,
        images: FolderImages,
        files: Mapping[int, Path],
        screen: Screen,
        check: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._turns = cycle(annotators.items())
        self._project_id = project_id
        self._images = images
        self._files = files
        self._screen = screen
        self._check = check
        self._given: dict[int, int] = {}  # round -> labels given
        self._trouble_since: float | None = None

    def run(self, rounds: int, on_closed: Callable[[RoundStatus], None]) -> Sequence[RoundStatus]:
        """Labels ``rounds`` rounds, fewer if the pool ends before; returns them, as the status API shows them.

        ``on_closed`` is called with each round when its model is trained.
        """
        closed: list[RoundStatus] = []
        while len(closed) < rounds:
            status = self._inspect()
            if status is None:
                time.sleep(LOOK_SECONDS)
                continue
            done = [each for each in status.history if each.state == "closed"]
            for each in done[len(closed) : rounds]:
                closed.append(each)
                on_closed(each)
            if len(closed) >= rounds or status.phase == "exhausted":
                break
            if not self._label_missing(status):
                time.sleep(LOOK_SECONDS)
        return closed

    def _inspect(self) -> ProjectStatus | None:
        """Where the project stands; None while the backend does not answer: its supervisor starts it again.

        Raises:
            PT4ALError: the trouble lasts.
        """
        self._check()
        try:
            status = self._backend.status()
        except Unreachable as unreachable:
            self._trouble(unreachable)
            return None
        self._screen.backend(status)
        error = status.error
        self._trouble(PT4ALError(f"The backend is stuck: {error.message}", error.remedy) if error else None)
        return status

    def _trouble(self, error: PT4ALError | None) -> None:
        now = time.monotonic()
        if error is None:
            self._trouble_since = None
        elif self._trouble_since is None:
            self._trouble_since = now
        elif now - self._trouble_since > TROUBLE_SECONDS:
            raise error

    def _label_missing(self, status: ProjectStatus) -> bool:
        """Labels what is missing in the open round; False if there is nothing to do now."""
        number = status.round
        is_open = any(each.number == number and each.state == "open" for each in status.history)
        is_served = status.phase == "labelling" if is_open else bool(status.model_version)
        wanted = sum(each.requested for each in (status.picks.query, status.picks.control))
        given = self._given.get(number, 0)
        if not number or not is_served or given >= wanted or not status.labels_missing:
            return False
        if not given:
            what = "labels its tasks" if is_open else "labels its control picks while the pretext learner trains"
            self._screen.say(f"Round {number}: one annotator after the other {what}.")
        for _ in range(wanted - given):
            self._label_next(number)
        if is_open:
            self._screen.say(f"Round {number}: {wanted} labels are in; the annotators wait until the next round is served.")
        return True

    def _label_next(self, number: int) -> None:
        name, annotator = next(self._turns)
        task = annotator.next_task(self._project_id)
        if task is None:
            raise PT4ALError(f"Label Studio has no task for {name}, though round {number} has labels missing.")
        file = self._files[int(task["id"])]
        annotator.annotate(int(task["id"]), self._images.regions(file))
        self._given[number] = self._given.get(number, 0) + 1
        self._screen.annotator(f"{name} labelled task {task['id']}: {self._images.words(file)}")
        if self._given[number] % 4 == 0:
            self._inspect()
