"""``pt4al status``, ``doctor``, ``train``, ``pause``, ``resume``, ``refill`` and ``forget``: connected projects."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from pt4al_backend.cli.settings import read_server_settings, read_settings
from pt4al_backend.config import project_settings
from pt4al_backend.errors import UnknownProject
from pt4al_backend.ops import terminal
from pt4al_backend.ops.terminal import out
from pt4al_backend.server.requests import LARGEST_ID

if TYPE_CHECKING:
    from pt4al_backend.engine.actions import Actions

BY = "the command line"  # who acts, in the project's log

Project = Annotated[int, typer.Argument(help="Label Studio's number of the project.", min=1, max=LARGEST_ID)]
OneProject = Annotated[
    int | None, typer.Argument(help="Label Studio's number of one project.", show_default="all", min=1, max=LARGEST_ID)
]


def status(
    project: OneProject = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C.")] = False,
) -> None:
    """Shows where every project stands; of one, its learning curve and its annotators as well."""
    from pt4al_backend.ops import overview
    from pt4al_backend.server.panels.overview import Overviews
    from pt4al_backend.server.status import Statuses
    from pt4al_backend.state.opening import open_store

    settings = read_settings()
    with closing(open_store(settings)) as store:
        statuses, overviews = Statuses(store, data_dir=settings.data_dir), Overviews(store)
        utc_offset = round((datetime.now().astimezone().utcoffset() or timedelta()).total_seconds() / 60)

        def read() -> list[overview.Shown]:
            found = statuses.all() if project is None else [statuses.find(str(project))]
            return [(status, overviews.of(status, utc_offset)) for status in found]

        if watch:
            overview.watch(read)
        else:
            out.print(overview.overview(read()))


def doctor(project: OneProject = None) -> None:
    """Checks everything that has to be right, and says what to change. Exits with 1 if something fails."""
    from pt4al_backend.ops.doctor import examine

    failures = 0
    for finding in examine(read_server_settings(), project):
        failures += finding.level == "fail"
        out.print(terminal.line_of(finding), soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def train(project: Project) -> None:
    """Trains now on the labels that are in: Start Training from the command line."""
    from pt4al_backend.engine.actions import Actions
    from pt4al_backend.engine.work_queue import WorkQueue
    from pt4al_backend.state.opening import open_store

    settings = read_settings()
    with closing(open_store(settings)) as store:
        known = store.driven_ids()
        if project not in known:
            connected = f"Connected are {', '.join(map(str, known))}." if known else "No project has connected yet."
            raise UnknownProject(project, f"{connected} Connect it in Label Studio, Settings > Model.")
        Actions(store, WorkQueue(settings), project, BY).train()
    out.print(f"A training was requested for project {project}. `pt4al status {project} --watch` shows how far it is.")


def pause(project: Project) -> None:
    """Publishes and trains nothing more for a project, until `pt4al resume`. Answers are still recorded."""
    with _acting_on(project) as actions:
        out.print(actions.pause())


def resume(project: Project) -> None:
    """Goes on with a project where it was paused."""
    with _acting_on(project) as actions:
        out.print(actions.resume())


def refill(
    project: Project,
    take: Annotated[int | None, typer.Option(help="Tasks to add.", min=1, max=1_000_000, show_default="refill_size")] = None,
    rest: Annotated[
        Path | None,
        typer.Option(help="The ranked rest to take them from, beside what `pt4al rank --take` wrote; once, then it is kept."),
    ] = None,
) -> None:
    """Adds the next best images of the ranked rest to a project in Label Studio, never a twin of what is there."""
    from pt4al_backend.engine.access import client_for
    from pt4al_backend.engine.refill import give
    from pt4al_backend.engine.refill import refill as refill_project
    from pt4al_backend.engine.work_queue import WorkQueue
    from pt4al_backend.state.opening import open_store

    settings = read_settings()
    with closing(open_store(settings)) as store:
        known = store.project(project)
        if known is None or known.let_go_at is not None:
            raise UnknownProject(project)
        if rest is not None:
            give(settings, known, rest)
        count = take or project_settings(known.params).refill_size
        out.print(f"{refill_project(store, settings, client_for(settings, known), known, count)}", soft_wrap=True)
        WorkQueue(settings).request(project)


@contextmanager
def _acting_on(project: int) -> "Iterator[Actions]":
    from pt4al_backend.engine.actions import Actions
    from pt4al_backend.engine.work_queue import WorkQueue
    from pt4al_backend.state.opening import open_store

    settings = read_settings()
    with closing(open_store(settings)) as store:
        yield Actions(store, WorkQueue(settings), project, BY)


def forget(
    project: Project,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes what is kept here of a project: its rounds, models and images. Nothing is deleted in Label Studio."""
    from pt4al_backend.engine.disconnected import forget as forget_project
    from pt4al_backend.state.opening import open_store

    settings = read_settings()
    with closing(open_store(settings)) as store:
        known = store.project(project)
        if known is None:
            raise UnknownProject(project, "Nothing is kept of it.")
        if not yes:
            typer.confirm(f"Delete the rounds, models and images of project {project}, {known.title!r}?", abort=True)
        set_back = forget_project(store, settings, project)
    out.print(Text(f"Project {project} is forgotten. {set_back}".strip()), soft_wrap=True)
    if known.let_go_at is None:
        terminal.warn("If the backend is still listed under Settings > Model in Label Studio, it connects again from there.")
