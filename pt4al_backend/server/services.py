"""What the routes of one app share, and how a route gets at it."""

from dataclasses import dataclass, field
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from pt4al_backend.server.backend import Backend
from pt4al_backend.server.metrics import Metrics
from pt4al_backend.server.places import Places
from pt4al_backend.server.status import Statuses

PREDICTING = 8  # requests that may wait for a model or for images at a time; webhooks have other threads


@dataclass(frozen=True)
class Services:
    """What the routes of one app share."""

    backend: Backend
    statuses: Statuses
    metrics: Metrics
    places: Places
    predicting: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PREDICTING))

    @property
    def body_limit(self) -> int:
        """Bytes that a body may have."""
        return self.backend.settings.webhook_max_bytes


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


#: As a route's parameter: the services of the app that the request came to.
Served = Annotated[Services, Depends(_services)]
