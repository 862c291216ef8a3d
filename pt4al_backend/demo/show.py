"""The demo from start to end. Everything that it starts ends with it, and all that it writes lies in one folder."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from pt4al_backend.config import ServerSettings, project_settings, server_settings
from pt4al_backend.datasets.drawn_images import DrawnImages
from pt4al_backend.datasets.folder_images import SHOWN, FolderImages, Reader
from pt4al_backend.datasets.sorted_images import SortedImages
from pt4al_backend.demo import comparison, servers
from pt4al_backend.demo.annotator import FILES_PER_REQUEST, Annotator
from pt4al_backend.demo.comparison import Exam, RandomQuery, Row
from pt4al_backend.demo.folder import fresh
from pt4al_backend.demo.robots import Backend, Robots
from pt4al_backend.demo.screen import Screen
from pt4al_backend.demo.servers import Server
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.frames import choose
from pt4al_backend.jobs import runner
from pt4al_backend.ops.terminal import duration
from pt4al_backend.state.store import Store

TITLE = "PT4AL demo"
LEAD, SECOND = "ada@example.com", "ben@example.com"
QUERY, SMALLEST_QUERY = 40, 10
SECONDS = 285.0  # no further random draw is begun that would end after this
LOOK_SECONDS = 1.0

#: Pixels that the pretext learner looks at on a CPU, over all its epochs: up to 40 s on two idle cores.
PRETEXT_PIXELS = 12_000_000
KINDS: dict[str, type[FolderImages]] = {each.task: each for each in (SortedImages, DrawnImages)}
LARGEST_REQUEST = 200_000_000  # bytes; Label Studio takes 250 MB

Json = dict[str, Any]


@dataclass(frozen=True)
class Connected:
    """A project that is connected, and who works in it."""

    id: int
    annotators: dict[str, Annotator]
    label_studio: Server
    backend: Server
    files: dict[int, Path]
    password: str

    def check(self) -> None:
        """Raises `ServerFailed` if a server has ended."""
        self.label_studio.check()
        self.backend.check()


def run(*, task: str, folder: Path, rounds: int, images: Path | None, masks: Path | None, label_studio: Path, stay: bool) -> None:
    """Starts Label Studio and the backend, labels ``rounds`` rounds, prints the table, and stays up if asked to.

    Args:
        task: the main task.
        images: a folder of images; None for some that need no download.
        masks: a folder with their masks, for segmentation.
        label_studio: Label Studio's command.

    Raises:
        PT4ALError: something stands in the way, and what to change.
        KeyboardInterrupt: it was ended before it was through.
    """
    screen = Screen(Console(highlight=False))
    folder = folder.absolute()
    is_through = False
    with ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        lock = stack.enter_context(fresh(folder))
        settings = _settings(folder / "backend")
        try:
            found = _images(KINDS[task], folder, images, masks, settings, screen)
            connected = _connect(stack, folder, lock, found, settings, label_studio, screen)
            rows = _work(connected, folder, found, settings, rounds, screen)
            _report(rows, len(found.test), connected, screen)
            is_through = True
            if stay:
                _stay(connected, screen)
        except KeyboardInterrupt:
            screen.console.print("Ending …")
            if not is_through:
                raise


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _settings(data_dir: Path) -> ServerSettings:
    """The backend's, as far as the demo reads its files; what the environment says of other installations is left out."""
    elsewhere = ("label_studio_url", "label_studio_api_key", "basic_auth_user", "basic_auth_pass", "database_url", "redis_url")
    return server_settings(data_dir=data_dir, **dict.fromkeys(elsewhere, ""))


def _images(
    kind: type[FolderImages], folder: Path, images: Path | None, masks: Path | None, settings: ServerSettings, screen: Screen
) -> FolderImages:
    if masks and not images:
        raise ConfigError("MASKS (--masks) is given without images.", "Name their folder as well: IMAGES (--images).")
    with screen.live(0):
        reader = Reader(settings.image_max_pixels, lambda done, total: screen.work("Reading images", done, total))
        found = kind.given(images.absolute(), masks and masks.absolute(), reader) if images else kind.made(folder, reader)
    parts = f"{len(found.pool):,} for the pool, {len(found.test):,} held out for the test, {len(found.classes)} classes"
    screen.say(f"Images: {parts}; {found.source}.")
    for path, reason in list(found.unreadable.items())[:SHOWN]:
        screen.say(Text(f"Left out: {path}: {reason}", "yellow"))
    if len(found.unreadable) > SHOWN:
        screen.say(Text(f"Left out: {len(found.unreadable) - SHOWN} more.", "yellow"))
    return found


def _connect(
    stack: ExitStack, folder: Path, lock: IO[bytes], found: FolderImages, settings: ServerSettings, command: Path, screen: Screen
) -> Connected:
    password = secrets.token_urlsafe(9)
    studio = _start(stack, lambda: servers.LabelStudio(command, folder / "label-studio", LEAD, password), lock, screen)
    ada, ben = Annotator(studio.url, LEAD, password), Annotator(studio.url, SECOND, secrets.token_urlsafe(12))
    ada.log_in()
    ben.sign_up()
    screen.say(f"Label Studio runs at {studio.url}; log in as {LEAD} with the password {password}")
    token = ada.create_personal_access_token()
    backend = _start(stack, lambda: servers.backend(folder / "backend", studio.url, token), lock, screen)
    project_id = ada.create_project(TITLE, found.label_config(), description="Made by `make demo`.")
    with screen.live(0):
        ids = _upload(ada, project_id, found, screen)
    params = _params(found, settings)
    ada.connect_backend(project_id, backend.url, extra_params=params)
    screen.say(f"{len(ids):,} images are imported, and the backend is connected. Its page: {backend.url}/projects/{project_id}")
    screen.say(f"Other than the defaults: {', '.join(f'{name} = {value}' for name, value in params.items()) or 'nothing'}.")
    files = dict(zip(ids, found.pool, strict=True))
    return Connected(project_id, {"Ada": ada, "Ben": ben}, studio, backend, files, password)


def _start(stack: ExitStack, make: Callable[[], Server], lock: IO[bytes], screen: Screen) -> Server:
    with screen.live(0):
        return stack.enter_context(servers.started(make, lock, lambda server: screen.work(f"{server.name} starts")))


def _upload(annotator: Annotator, project_id: int, found: FolderImages, screen: Screen) -> list[int]:
    ids: list[int] = []
    while len(ids) < len(found.pool):
        screen.work("Importing images", len(ids), len(found.pool))
        ids += annotator.upload_images(project_id, _request(found.pool[len(ids) :]))
    return ids


def _request(paths: Sequence[Path]) -> list[Path]:
    """As many of the first files as Label Studio takes in one request."""
    taken: list[Path] = []
    size = 0
    for path in paths[:FILES_PER_REQUEST]:
        size += path.stat().st_size
        if taken and size > LARGEST_REQUEST:
            break
        taken.append(path)
    return taken


def _params(found: FolderImages, settings: ServerSettings) -> Json:
    """Extra params that let the demo end in time; what the environment sets stays as it is."""
    options = project_settings()
    params: Json = {"query_size": max(SMALLEST_QUERY, min(QUERY, len(found.pool) // options.rounds)), **found.params}
    (height, width), _ = choose(found.task, found.sizes, gpu=False, requested=params.get("image_size"))
    epochs = max(2, round(PRETEXT_PIXELS / (len(found.pool) * height * width)))
    if epochs < params.get("pretext_epochs", options.pretext_epochs) and not settings.has_gpu:
        params["pretext_epochs"] = epochs
    return {name: value for name, value in params.items() if f"PT4AL_{name.upper()}" not in os.environ}


def _work(
    connected: Connected, folder: Path, found: FolderImages, settings: ServerSettings, rounds: int, screen: Screen
) -> list[Row]:
    store = Store.open(settings)
    rows: list[Row] = []
    job: Json = {}
    exam: Exam | None = None

    def on_closed(closed: Json) -> None:
        nonlocal exam
        row = Row(closed["number"], closed["labels"], closed["control"])
        rows.append(row)
        trained = store.round(connected.id, row.number)
        if trained is None or not trained.model:
            screen.say(f"Round {row.number}: no model, as its labels are of one class only.")
            return
        model = settings.data_dir / trained.model
        job.update(runner.job_of(model.parent) or {})
        exam = exam or Exam(found, folder / "exam", tuple(job["stored"]), settings.image_max_pixels)
        row.test = exam.measure(model)
        screen.say(f"Round {row.number}: {row.test['metric']} of its model on the test images: {row.test['value']:.1%}.")

    backend = Backend(connected.backend.url, connected.id)
    labelling = Robots(backend, connected.annotators, connected.id, found, connected.files, screen, connected.check)
    with screen.live(rounds):
        labelling.run(rounds, on_closed)
        if exam is not None:
            screen.clear()
            _compare(rows, RandomQuery(folder / "random", job, found, _pool(store, connected), exam), screen)
    return rows


def _pool(store: Store, connected: Connected) -> dict[int, Path]:
    """The pool's files by the rows of their frames."""
    tasks = store.tasks(connected.id)
    tasks = tasks.where(tasks.rows >= 0)
    return {row: connected.files[task_id] for row, task_id in zip(tasks.rows.tolist(), tasks.ids.tolist(), strict=True)}


def _compare(rows: Sequence[Row], query: RandomQuery, screen: Screen) -> None:
    """Random queries of the rounds' sizes: one draw at least, further ones as time allows."""
    trained = [row for row in rows if row.test]
    sizes = [row.labels for row in trained]
    screen.say(f"For comparison: random queries of {', '.join(map(str, sizes))} labels, trained alike.")
    done, total = 0, len(sizes) * len(comparison.SEEDS)

    def on_done() -> None:
        nonlocal done
        done += 1
        screen.work("Random queries", done, total)

    for seed in comparison.SEEDS:
        began = screen.elapsed
        for row, value in zip(trained, query.measure(sizes, seed, on_done), strict=True):
            row.random.append(value)
        if screen.elapsed + (screen.elapsed - began) > SECONDS:
            return


def _report(rows: Sequence[Row], tested: int, connected: Connected, screen: Screen) -> None:
    name = project_settings().strategy  # the environment's, if it sets one
    strategy = "PT4AL" if name == "pt4al" else name
    screen.console.print()
    screen.console.print(comparison.table(rows, tested, strategy))
    screen.console.print(Text(comparison.caution(rows, strategy), "italic"))
    screen.console.print(Text(f"\nAll of it took {duration(screen.elapsed)}."))
    studio = connected.label_studio.url
    lines = [
        ("Label Studio", f"{studio}  (log in as {LEAD}, password {connected.password})"),
        # not ?labeling=1: in a fresh browser that address means "Label Tasks As Displayed", which ignores the order
        ("Label stream", f"{studio}/projects/{connected.id}/data  (press Label All Tasks)"),
        ("Status page", f"{connected.backend.url}/projects/{connected.id}"),
    ]
    for name, text in lines:
        screen.console.print(Text.assemble((f"{name:<14}", "bold"), text), soft_wrap=True)


def _stay(connected: Connected, screen: Screen) -> None:
    screen.console.print("Both stay up until Ctrl-C.")
    while True:
        time.sleep(LOOK_SECONDS)
        connected.check()
