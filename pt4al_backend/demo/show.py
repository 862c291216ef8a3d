"""The demo from start to end. Everything that it starts ends with it, and all that it writes lies in one folder."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from pt4al_backend.config import project_settings
from pt4al_backend.demo import comparison
from pt4al_backend.demo.comparison import Exam, RandomQuery, Row
from pt4al_backend.demo.project import LEAD, DemoProject, set_up
from pt4al_backend.demo.screen import Screen
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.folder import job_of
from pt4al_backend.jobs.spec import LearnSpec
from pt4al_backend.ops.terminal import duration
from pt4al_backend.server.status import RoundStatus
from pt4al_backend.state.store import Store

SECONDS = 285.0  # no further random draw is begun that would end after this
LOOK_SECONDS = 1.0

#: Values of random queries by numbers of labels that no round had.
Beyond = dict[int, list[float]]


def run(
    *, task: str, folder: Path, rounds: int | None, images: Path | None, masks: Path | None, label_studio: Path, stay: bool
) -> None:
    """Starts Label Studio and the backend, labels some rounds, prints the table, and then stays up if ``stay``.

    Args:
        task: the main task.
        rounds: how many; None: as many as suit the time that one takes.
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
    with _ended_by_sigterm(), ExitStack() as stack:
        try:
            project = set_up(stack, task, folder, label_studio, screen, images=images, masks=masks)
            rows, beyond = _work(project, folder, rounds or project.rounds, screen)
            _report(rows, beyond, project, screen)
            is_through = True
            if stay:
                _stay(project, screen)
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


def _work(project: DemoProject, folder: Path, rounds: int, screen: Screen) -> tuple[list[Row], Beyond]:
    """Labels the rounds, measures each model, and compares them with random queries; a row for each round, and what is beyond."""
    settings = project.settings
    store = Store.open(settings)
    rows: list[Row] = []
    beyond: Beyond = {}
    job: LearnSpec | None = None
    exam: Exam | None = None

    def on_closed(closed: RoundStatus) -> None:
        nonlocal exam, job
        row = Row(closed.number, closed.labels, closed.control)
        rows.append(row)
        trained = store.round(project.id, row.number)
        if trained is None or not trained.model:
            screen.say(f"Round {row.number}: no model, as its labels are of one class only.")
            return
        model = settings.data_dir / trained.model
        trained_by = job_of(model.parent)
        if not isinstance(trained_by, LearnSpec):
            raise StoreCorrupt(f"The job in {model.parent} is missing or damaged.", "Start the demo again.")
        job = trained_by
        exam = exam or Exam(project.images, folder / "exam", job.stored, settings.image_max_pixels)
        row.test = exam.measure(model)
        screen.say(f"Round {row.number}: {row.test['metric']} of its model on the test images: {row.test['value']:.1%}.")

    with screen.live(rounds):
        project.simulated_annotators(screen).run(rounds, on_closed)
        if exam is not None and job is not None:
            screen.clear()
            query = RandomQuery(folder / "random", job, project.images, _pool(store, project), exam)
            beyond = _compare(rows, query, screen, on_features=bool(job.settings.frozen_encoder))
    return rows, beyond


def _pool(store: Store, project: DemoProject) -> dict[int, Path]:
    """The pool's files by the rows of their frames."""
    tasks = store.tasks(project.id)
    tasks = tasks.where(tasks.rows >= 0)
    return {row: project.files[task_id] for row, task_id in zip(tasks.rows.tolist(), tasks.ids.tolist(), strict=True)}


def _compare(rows: Sequence[Row], query: RandomQuery, screen: Screen, *, on_features: bool) -> Beyond:
    """Random queries of the rounds' sizes, and of more labels where that is quick: one draw at least, more as time allows."""
    trained = {row.labels: row for row in rows if row.test}
    more = comparison.further(max(trained), query.pool) if on_features else []
    sizes, draws = [*trained, *more], comparison.DRAWS_ON_FEATURES if on_features else comparison.DRAWS
    beyond: Beyond = {size: [] for size in more}
    screen.say(f"For comparison: random queries of {', '.join(map(str, sizes))} labels, trained alike.")
    done, total = 0, len(sizes) * draws

    def on_done() -> None:
        nonlocal done
        done += 1
        screen.work("Random queries", done, total)

    for seed in range(1, draws + 1):
        began = screen.elapsed
        for size, value in zip(sizes, query.measure(sizes, seed, on_done), strict=True):
            (trained[size].random if size in trained else beyond[size]).append(value)
        if screen.elapsed + (screen.elapsed - began) > SECONDS:
            break
    return beyond


def _report(rows: Sequence[Row], beyond: Beyond, project: DemoProject, screen: Screen) -> None:
    name = project_settings().strategy  # the environment's, if it sets one
    strategy = "PT4AL" if name == "pt4al" else name
    screen.console.print()
    screen.console.print(comparison.table(rows, len(project.images.test), strategy))
    if sentence := comparison.needed(rows, beyond):
        screen.console.print(Text(sentence, "bold"))
    screen.console.print(Text(comparison.caution(rows, strategy), "italic"))
    screen.console.print(Text(f"\nAll of it took {duration(screen.elapsed)}."))


def _stay(project: DemoProject, screen: Screen) -> None:
    studio = project.label_studio.url
    lines = [
        ("Label Studio", f"{studio}  (log in as {LEAD}, password {project.password})"),
        # not ?labeling=1: in a fresh browser that address means "Label Tasks As Displayed", which ignores the order
        ("Label stream", f"{studio}/projects/{project.id}/data  (press Label All Tasks)"),
        ("Status page", f"{project.backend.url}/projects/{project.id}"),
    ]
    for name, text in lines:
        screen.console.print(Text.assemble((f"{name:<14}", "bold"), text), soft_wrap=True)
    screen.console.print("Both stay up until Ctrl-C.")
    while True:
        time.sleep(LOOK_SECONDS)
        project.check()
