"""The ASGI app that Label Studio, monitoring and people talk to.

>>> uvicorn.run(create_app(server_settings()), host="127.0.0.1", port=9090)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pt4al_backend import __version__
from pt4al_backend.config import ServerSettings, project_settings, server_settings
from pt4al_backend.config.refusal import IN_ENVIRONMENT
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.server import actions, api, assets, failures, project_list, protocol, thumbnails
from pt4al_backend.server.auth import BasicAuth, SameSite
from pt4al_backend.server.backend import Backend
from pt4al_backend.server.events import Events
from pt4al_backend.server.metrics import Metrics, Timed
from pt4al_backend.server.openapi import DocumentedApp
from pt4al_backend.server.panels import act, classes, map, next_up, overview, quality, report, take_away
from pt4al_backend.server.panels import settings as settings_panel
from pt4al_backend.server.redaction import Redaction
from pt4al_backend.server.services import Services
from pt4al_backend.server.status import Statuses
from pt4al_backend.server.trusted_hosts import TrustedHosts
from pt4al_backend.state.store import Store


def create_app(settings: ServerSettings | None = None, store: Store | None = None, queue: WorkQueue | None = None) -> FastAPI:
    """Makes the app; what is not given is opened from the environment.

    Raises:
        ConfigError: a setting of the server, or of the projects, has a value that is not allowed.
    """
    settings = settings or server_settings()
    project_settings(where=IN_ENVIRONMENT)
    opened = store or Store.open(settings)
    redaction = Redaction(settings)
    requests = queue or WorkQueue(settings)
    statuses = Statuses(opened, data_dir=settings.data_dir, queue=requests.waiting, hide=redaction.hide)
    metrics = Metrics(statuses)
    backend = Backend(settings, opened, requests)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if store is None:
            opened.close()

    app = DocumentedApp(
        title="PT4AL backend",
        version=__version__,
        summary="Active learning for Label Studio",
        lifespan=lifespan,
        docs_url=None,  # both pages load their scripts from the internet, which the backend's network need not reach
        redoc_url=None,
    )
    app.state.services = Services(backend, statuses, metrics, redaction, opened, requests, Events(statuses))
    for part in (
        protocol,
        api,
        actions,
        project_list,
        assets,
        thumbnails,
        overview,
        classes,
        next_up,
        map,
        quality,
        act,
        take_away,
        report,
        settings_panel,
    ):
        app.include_router(part.router)
    for kind in failures.ANSWERED:
        app.add_exception_handler(kind, failures.answer)
    app.add_middleware(failures.LastResort)
    app.add_middleware(SameSite)
    app.add_middleware(TrustedHosts, settings=settings, store=opened)
    app.add_middleware(BasicAuth, settings=settings, webhook_secret=backend.instance.webhook_secret)
    app.add_middleware(Timed, metrics=metrics)
    return app
