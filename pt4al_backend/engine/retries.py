"""When a training, or a download of weights, that failed may be tried again."""

import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.state.schema import Project

DOWNLOAD: Final = "download"
Tried = JobKind | Literal["download"]

FIRST_RETRY_SECONDS = 60.0  # after a failure; doubles up to an hour
LAST_RETRY_SECONDS = 3600.0


@dataclass(frozen=True)
class Circumstances:
    """What people may change so that a training becomes possible."""

    trainings_requested: int
    params: dict[str, Any] = field(hash=False)
    label_config: str

    @classmethod
    def of(cls, project: Project) -> "Circumstances":
        """Those of a project now."""
        return cls(project.trainings_requested, dict(project.params), project.label_config)


@dataclass(frozen=True)
class Failure:
    """How often in a row a training failed, until when it is not tried again, and under which circumstances it last failed."""

    times: int
    not_before: float
    circumstances: Circumstances


class Retries:
    """Remembers what failed.

    Each is tried again after a while, longer each time, or as soon as someone presses the button or changes the settings or the
    labeling config.
    """

    def __init__(self) -> None:
        self._failures: dict[tuple[int, Tried], Failure] = {}

    def may_run(self, project: Project, kind: Tried) -> bool:
        """Whether it may be tried now."""
        failure = self._failures.get((project.id, kind))
        return failure is None or time.time() >= failure.not_before or failure.circumstances != Circumstances.of(project)

    def has_failed(self, project: Project) -> bool:
        """Whether a training failed that has not succeeded since."""
        return any((project.id, kind) in self._failures for kind in JobKind)

    def failed(self, project: Project, kind: Tried) -> float:
        """Notes a failure; returns when it may be tried again, in seconds since 1970."""
        before = self._failures.get((project.id, kind))
        times = before.times if before else 0
        not_before: float = time.time() + min(FIRST_RETRY_SECONDS * 2**times, LAST_RETRY_SECONDS)
        self._failures[project.id, kind] = Failure(times + 1, not_before, Circumstances.of(project))
        return not_before

    def succeeded(self, project: Project, kind: Tried) -> None:
        """Forgets the failures."""
        self._failures.pop((project.id, kind), None)
