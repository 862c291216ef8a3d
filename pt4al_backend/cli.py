"""The command line, ``pt4al``. What a command needs is imported when it runs: ``pt4al --help`` answers at once."""

import errno
import logging
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from pt4al_backend import __version__
from pt4al_backend.bench.command import app as bench
from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings, server_settings
from pt4al_backend.config.catalog import FIRST_QUERIES, MAIN_TASKS, PRETEXTS, STRATEGIES, TaskName
from pt4al_backend.config.environment import misspelt
from pt4al_backend.config.refusal import IN_ENVIRONMENT
from pt4al_backend.errors import ConfigError, PT4ALError, UnknownProject
from pt4al_backend.ops import terminal
from pt4al_backend.ops.log import begin_log
from pt4al_backend.ops.terminal import out
from pt4al_backend.ops.weights import app as weights
from pt4al_backend.server.requests import LARGEST_ID

SHOWN = 20  # files that `rank` names of those that it leaves out
RANK_OPTIONS = "Change the option (--task, --device, --epochs, --first-query, --seed), or PT4AL_… in the environment."

EXAMPLES = """
Examples:

* `pt4al start` runs the backend. Connect it in Label Studio, Settings > Model.
* `pt4al doctor` checks the settings, the worker and every connected project.
* `pt4al status --watch` shows where every project stands.
* `pt4al rank photos/ --out tasks.json` puts images in order before you import them.
* `pt4al demo` shows the whole loop.
"""


class Commands(TyperGroup):
    """Turns an error into one line with what to change, instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; exit status 1 if it raises one of our errors, or the disk's."""
        try:
            return super().invoke(ctx)
        except PT4ALError as error:
            problem = error
        except BrokenPipeError:  # of `pt4al status | head`: the framework ends quietly
            raise
        except OSError as error:
            problem = _of_disk(error)
        terminal.fail(str(problem))
        raise typer.Exit(1)


def _of_disk(error: OSError) -> ConfigError:
    reason = error.strerror or type(error).__name__
    what = f"{error.filename} cannot be used ({reason})." if error.filename else f"The system refuses: {reason}."
    return ConfigError(what, "Check free space and permissions. The state is in PT4AL_DATA_DIR, a benchmark in its own folder.")


app = typer.Typer(
    cls=Commands,
    help="PT4AL active learning beside Label Studio: the labels that teach a model most come first.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.add_typer(bench, name="bench")
app.add_typer(weights, name="weights")

Project = Annotated[int, typer.Argument(help="Label Studio's number of the project.", min=1, max=LARGEST_ID)]
OneProject = Annotated[
    int | None, typer.Argument(help="Label Studio's number of one project.", show_default="all", min=1, max=LARGEST_ID)
]


def _version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Settings come from the environment (LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY, PT4AL_…); docs/settings.md lists them."""


def _server_settings(*, supervised: bool = False, **overrides: Any) -> ServerSettings:
    """Reads the server's settings, and warns of variables that are none; the supervisor has done that for its children."""
    for sentence in [] if supervised else misspelt():
        terminal.warn(f"Warning: {sentence}")
    return server_settings(**{name: value for name, value in overrides.items() if value is not None})


def _settings(*, supervised: bool = False, **overrides: Any) -> ServerSettings:
    """The same, once those that the environment gives to all projects are known to be right as well."""
    settings = _server_settings(supervised=supervised, **overrides)
    project_settings(where=IN_ENVIRONMENT)
    return settings


# the processes

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


@app.command()
def start(insecure: Insecure = False) -> None:
    """Runs the web process and a worker, and restarts them when they die."""
    from pt4al_backend.config.exposure import require_guarded
    from pt4al_backend.ops.supervisor import Supervisor

    begin_log("start")
    settings = _settings(insecure=insecure or None)  # a wrong setting is reported once, not by each process
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


@app.command()
def web(supervised: Supervised = False, insecure: Insecure = False) -> None:
    """Runs the web process: Label Studio's requests, the status page, the metrics."""
    import uvicorn

    from pt4al_backend.config.exposure import require_guarded
    from pt4al_backend.processes import end_with_parent
    from pt4al_backend.server.app import create_app
    from pt4al_backend.server.connections import BACKLOG, Connection
    from pt4al_backend.server.waiting import WhenOpen
    from pt4al_backend.state.opening import wait_for_store

    begin_log("web")
    if supervised:
        end_with_parent()
    settings = _settings(supervised=supervised, insecure=insecure or None)
    require_guarded(settings)
    with _listen(settings.host, settings.port) as listener:

        def give_up() -> None:
            server.should_exit = True

        served = WhenOpen(lambda: create_app(settings, wait_for_store(settings)), give_up)
        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
        config = uvicorn.Config(served, http=Connection, ws="none", backlog=BACKLOG, timeout_graceful_shutdown=5, **quiet)
        server = uvicorn.Server(config)
        served.begin()
        if served.failure is None:
            logging.getLogger(__name__).info("Listening on %s:%s.", settings.host, settings.port)
            server.run(sockets=[listener])
        if served.failure is not None:
            raise served.failure


@app.command()
def worker(supervised: Supervised = False) -> None:
    """Runs a worker: looks after the projects, trains in child processes."""
    from pt4al_backend.artefacts import remove_leftovers
    from pt4al_backend.engine.work_queue import WorkQueue
    from pt4al_backend.engine.worker import Worker
    from pt4al_backend.processes import end_with_parent
    from pt4al_backend.state.opening import wait_for_store

    begin_log("worker")
    if supervised:
        end_with_parent()
    settings = _settings(supervised=supervised)
    store = wait_for_store(settings)
    remove_leftovers(settings.data_dir / "projects")
    logging.getLogger(__name__).info("Waiting for work.")
    queue = WorkQueue(settings)
    queue.consume(Worker(settings, store, doorbell=queue.request).handle_request, store.driven_ids)


# inspecting


@app.command()
def status(
    project: OneProject = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C.")] = False,
) -> None:
    """Shows where every project stands, or one."""
    from pt4al_backend.server.status import ProjectStatus, Statuses
    from pt4al_backend.state.opening import open_store

    settings = _settings()
    with closing(open_store(settings)) as store:
        statuses = Statuses(store, data_dir=settings.data_dir)

        def read() -> list[ProjectStatus]:
            return statuses.all() if project is None else [statuses.find(str(project))]

        if watch:
            terminal.watch(read)
        else:
            out.print(terminal.overview(read()))


@app.command()
def doctor(project: OneProject = None) -> None:
    """Checks everything that has to be right, and says what to change. Exits with 1 if something fails."""
    from pt4al_backend.ops.doctor import examine

    failures = 0
    for finding in examine(_server_settings(), project):
        failures += finding.level == "fail"
        out.print(terminal.line_of(finding), soft_wrap=True)
    if failures:
        raise typer.Exit(1)


@app.command("list")
def list_() -> None:
    """Prints the strategies, pretext tasks and main tasks that settings may name."""
    table = Table("Setting", "Value", "What it is")
    for setting, catalog in (("strategy", STRATEGIES), ("pretext", PRETEXTS), ("main task", MAIN_TASKS)):
        for name, entry in catalog.items():
            table.add_row(setting, name, Text(entry.summary))
    out.print(table)


# doing


@app.command()
def train(project: Project) -> None:
    """Trains now on the labels that are in: Start Training from the command line."""
    from pt4al_backend.engine.work_queue import WorkQueue, start_training
    from pt4al_backend.state.opening import open_store

    settings = _settings()
    with closing(open_store(settings)) as store:
        known = store.driven_ids()
        if project not in known:
            connected = f"Connected are {', '.join(map(str, known))}." if known else "No project has connected yet."
            raise UnknownProject(project, f"{connected} Connect it in Label Studio, Settings > Model.")
        start_training(store, WorkQueue(settings), project)
    out.print(f"A training was requested for project {project}. `pt4al status {project} --watch` shows how far it is.")


@app.command()
def forget(
    project: Project,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes what is kept here of a project: its rounds, models and images. Nothing is deleted in Label Studio."""
    from pt4al_backend.engine.letting_go import forget as forget_project
    from pt4al_backend.state.opening import open_store

    settings = _settings()
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


def _default(setting: str) -> str:
    """What an option that is left out means, for the help."""
    return f"PT4AL_{setting.upper()}, else {ProjectSettings.model_fields[setting].default}"


def _warn_of(files: Sequence[str]) -> None:
    for sentence in files[:SHOWN]:
        terminal.warn(sentence)
    if len(files) > SHOWN:
        terminal.warn(f"… and {len(files) - SHOWN} more.")


@app.command()
def rank(
    images: Annotated[list[str], typer.Argument(help="Image files, folders with all below them, or patterns.")],
    to: Annotated[Path, typer.Option("--out", help="File to write; one of that name is replaced.")],
    task: Annotated[TaskName, typer.Option(help="What the images will be labelled for.")] = TaskName.CLASSIFICATION,
    field: Annotated[str, typer.Option(help="Image field of the labeling config.")] = "image",
    url_prefix: Annotated[
        str | None,
        typer.Option(help="What the tasks' images begin with; the path below the folder given (or what all share) follows."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the pretext learner.", show_default=_default("pretext_epochs"))
    ] = None,
    first_query: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(FIRST_QUERIES)} or batch:5.", show_default=_default("first_query")),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", show_default=_default("seed"))] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.", show_default="PT4AL_DEVICE, else auto")] = None,
) -> None:
    """Ranks images before import and writes tasks for Label Studio, best first. Nothing is uploaded, no label is needed.

    The order is that of PT4AL's queries as long as it has no model (2 % of the images each, at least
    20, PT4AL_QUERY_SIZE sets it). "stratified" takes even intervals of the whole ranking by pretext loss each time: any
    first part of the file is a sample of all degrees of hardness. "hardest_batch" goes from the hardest batch to the
    easiest, as the paper does. Import the first N tasks, or all: Label Studio serves them in the file's order.

    Of files with identical images, the first is taken.

    Each task's data holds pt4al_loss, pt4al_rank (1 is the hardest), pt4al_batch and pt4al_query besides the image.

    Without --url-prefix the images are addressed as files of the machine that Label Studio runs on. It serves them with
    LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and a Local Files storage of the project that covers the folder. For
    another document root: --url-prefix "/data/local-files/?d=path/below/the/root". For a bucket: --url-prefix
    s3://bucket/folder. For a web server: --url-prefix https://images.example/folder.
    """
    from pt4al_backend.ops import rank_files
    from pt4al_backend.ops.rank_files.files import Files
    from pt4al_backend.query.plan import require_fit

    given = {"pretext_epochs": epochs, "first_query": first_query, "seed": seed}
    try:
        settings = _server_settings(device=device)
    except ConfigError as error:
        raise ConfigError(error.message, RANK_OPTIONS) from error
    options = project_settings({name: value for name, value in given.items() if value is not None}, RANK_OPTIONS)
    require_fit(options, task, RANK_OPTIONS)
    rank_files.require_writable(to)
    files = Files.find(images)
    with terminal.progress_bars() as report:
        ranked = rank_files.rank(files, settings, options, task=task, field=field, prefix=url_prefix, report=report)
    rank_files.write(to, ranked.tasks)
    _warn_of([f"Skipped {path}: {reason}" for path, reason in ranked.skipped])
    if not ranked.quality.meaningful:
        terminal.warn(f"The order is uniformly random instead. {ranked.quality.reason}")
    _warn_of([f"Left out {path}: its image is identical to that of {same}." for path, same in ranked.copies])
    left_out = f"files skipped: {len(ranked.skipped)}, left out as identical: {len(ranked.copies)}"
    out.print(Text(f"{len(ranked.tasks)} tasks in {to}, {left_out}."), soft_wrap=True)


@app.command()
def demo(
    task: Annotated[
        TaskName, typer.Option(help="What the annotators do: choose a class for an image, or several, or draw.")
    ] = TaskName.CLASSIFICATION,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images: one sub-folder for each class; for multilabel any, with `labels.json`, an object of each "
            "image's path and the list of its classes; for segmentation any, with --masks. `train` and `test` in it are pool and "
            "test set. Without a folder: handwritten digits, drawn shapes, or drawn street scenes."
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Segmentation: folder that has for each image a PNG of the same name whose pixels are class numbers, and "
            "`classes.txt`, the classes' names from number 0 on, a line each. The number 255 and a class `void` stay unlabelled."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds to label.")] = 3,
    stay: Annotated[bool, typer.Option(help="Stay up afterwards, so that you can click through it.")] = True,
    folder: Annotated[Path, typer.Option(help="Where everything goes that the demo writes.")] = Path(".demo"),
    label_studio: Annotated[Path, typer.Option(help="Label Studio's command.")] = Path("label-studio"),
) -> None:
    """Shows the whole loop on a Label Studio of its own, with two annotators who know the answers."""
    from pt4al_backend.demo.show import run

    run(task=task, images=images, masks=masks, rounds=rounds, stay=stay, folder=folder, label_studio=label_studio)
