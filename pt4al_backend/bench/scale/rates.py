"""How fast a phase goes, by what is reported while it does: the time until a process has loaded its libraries is not in it."""

import time

from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress


class Rate:
    """Takes the progress of one phase."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._seen: list[tuple[float, float]] = []

    def __call__(self, event: Progress) -> None:
        """Takes one event."""
        if event.phase == self._phase and event.share and (not self._seen or self._done(event) > self._seen[-1][1]):
            self._seen.append((time.monotonic(), self._done(event)))

    @property
    def per_second(self) -> float:
        """Images a second from the first that were done to the last."""
        if len(self._seen) < 2:
            raise BenchmarkFailed("There was too little to do for a rate.")
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began)

    @staticmethod
    def _done(event: Progress) -> float:
        return (event.share or 0.0) * event.total * max(event.epochs, 1)
