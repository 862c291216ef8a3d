"""``pt4al start``, ``web`` and ``worker``: the processes."""

import errno
import logging
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pt4al_backend.cli.settings import read_settings
from pt4al_backend.errors import ConfigError
from pt4al_backend.ops.log import begin_log

if TYPE_CHECKING:
    from fastapi import FastAPI

Supervised = Annotated[bool, typer.Option("--supervised", hidden=True, help="End when standard input closes.")]

Insecure = Annotated[
    bool, typer.Option("--insecure", help="Let other machines reach it without a password. Something else must guard the port.")
]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        remedy = "End what listens there, or set PT4AL_PORT (and PT4AL_HOST) to another address."
        raise ConfigError(f"The web process cannot listen on {host}:{port} ({error.strerror}).", remedy) from error
    # Head and body of an answer are two writes; on a kept connection the second would wait 40 ms for the first's receipt.
    # asyncio sets this for sockets of its own making alone; those accepted here inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def start(insecure: Insecure = False) -> None:
    """Runs the web process and a worker, and restarts them when they die."""
    from pt4al_backend.config.exposure import require_guarded
    from pt4al_backend.ops.supervisor import Supervisor

    begin_log("start")
    settings = read_settings(insecure=insecure or None)  # a wrong setting is reported once, not by each process
    require_guarded(settings)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if error.errno != errno.EROFS:  # both processes wait for a disk that can be written
            raise
    command = [sys.executable, "-m", "pt4al_backend"]
    commands = {
        "web process": [*command, "web", "--supervised", *(["--insecure"] if insecure else [])],
        "worker": [*command, "worker", "--supervised"],
    }
    raise typer.Exit(Supervisor(commands).run())


def web(supervised: Supervised = False, insecure: Insecure = False) -> None:
    """Runs the web process: Label Studio's requests, the status page, the metrics."""
    import uvicorn

    from pt4al_backend.config.exposure import require_guarded
    from pt4al_backend.processes import end_with_parent, keep_what_is_loaded
    from pt4al_backend.server.app import create_app
    from pt4al_backend.server.connection_limits import BACKLOG, Connection
    from pt4al_backend.server.startup import WhenOpen
    from pt4al_backend.state.opening import wait_for_store

    begin_log("web")
    if supervised:
        end_with_parent()
    settings = read_settings(supervised=supervised, insecure=insecure or None)
    require_guarded(settings)
    with _listen(settings.host, settings.port) as listener:

        def give_up() -> None:
            server.should_exit = True

        def opened() -> "FastAPI":
            app = create_app(settings, wait_for_store(settings))
            keep_what_is_loaded()
            return app

        served = WhenOpen(opened, give_up)
        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
        config = uvicorn.Config(served, http=Connection, ws="none", backlog=BACKLOG, timeout_graceful_shutdown=5, **quiet)
        server = uvicorn.Server(config)
        served.begin()
        if served.failure is None:
            logging.getLogger(__name__).info("Listening on %s:%s.", settings.host, settings.port)
            server.run(sockets=[listener])
        if served.failure is not None:
            raise served.failure


def worker(supervised: Supervised = False) -> None:
    """Runs a worker: looks after the projects, trains in child processes."""
    from pt4al_backend.artefacts import remove_leftovers
    from pt4al_backend.engine.device import Device
    from pt4al_backend.engine.disconnected import clear_forgotten
    from pt4al_backend.engine.insights import map_layout
    from pt4al_backend.engine.insights.background import Insights
    from pt4al_backend.engine.model_choice import Comparing
    from pt4al_backend.engine.work_queue import WorkQueue
    from pt4al_backend.engine.worker import Worker
    from pt4al_backend.jobs.run import runner_of, sharing
    from pt4al_backend.jobs.shared_jobs import SharedJobs
    from pt4al_backend.processes import end_with_parent
    from pt4al_backend.state.opening import wait_for_store
    from pt4al_backend.state.paths import comparison_lease, map_lease

    begin_log("worker")
    if supervised:
        end_with_parent()
    settings = read_settings(supervised=supervised)
    store = wait_for_store(settings)
    remove_leftovers(settings.data_dir / "projects")
    logging.getLogger(__name__).info("Waiting for work.")
    queue = WorkQueue(settings)
    device = Device.of(settings)
    comparing = Comparing(device, queue.request, sharing(runner_of(settings), settings, SharedJobs.of(settings)))
    background = (
        Insights(settings, store),
        Insights(settings, store, [map_layout.refresh], map_lease),
        Insights(settings, store, [comparing.refresh], comparison_lease),
    )
    for each in background:
        each.start()

    def request(project_id: int) -> None:
        for each in background:
            each.request(project_id)

    engine = Worker(settings, store, device=device, doorbell=queue.request, insights=request)

    def projects() -> Iterator[int]:
        yield from store.driven_ids()
        clear_forgotten(store, settings)

    queue.consume(engine.handle_request, projects)
