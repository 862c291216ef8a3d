"""What the routes of one app share, and how a route gets at it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Annotated, Any, TypeVar, cast

from anyio import CapacityLimiter
from fastapi import Depends, Request

from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.errors import UnknownProject
from pt4al_backend.server.backend import Backend
from pt4al_backend.server.events import Events
from pt4al_backend.server.metrics import Metrics
from pt4al_backend.server.redaction import Redaction
from pt4al_backend.server.requests import addressed_project
from pt4al_backend.server.status import Statuses
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

R = TypeVar("R")

PREDICTING = 8  # requests that may wait for a model or for images at a time; webhooks have other threads


@dataclass(frozen=True)
class Services:
    """What the routes of one app share."""

    backend: Backend
    statuses: Statuses
    metrics: Metrics
    redaction: Redaction
    store: Store
    queue: WorkQueue
    events: Events
    predicting: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PREDICTING))
    _readers: dict[Callable[[Store], Any], Any] = field(default_factory=dict)
    _making: Lock = field(default_factory=Lock)

    def project(self, reference: str) -> Project:
        """The row of the project that an address names; what a status shows of it is in ``statuses``.

        Raises:
            UnknownProject: it never connected, or is no project's id at all.
        """
        number = addressed_project(reference)
        found = self.store.project(number)
        if found is None:
            raise UnknownProject(number)
        return found

    def reader(self, kind: Callable[[Store], R]) -> R:
        """What reads the state for a panel, and may keep what it has read: made once, by its class."""
        with self._making:
            if kind not in self._readers:
                self._readers[kind] = kind(self.store)
        return cast(R, self._readers[kind])

    @property
    def body_limit(self) -> int:
        """Bytes that a body may have."""
        return self.backend.settings.webhook_max_bytes


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


#: As a route's parameter: the services of the app that the request came to.
Served = Annotated[Services, Depends(_services)]
