"""``make screenshots``: takes the pictures of the docs from the real demo, so that they show what it shows today.

``python -m pt4al_backend.demo.screenshots LABEL_STUDIO FOLDER`` runs the demo of each main task, for fewer rounds and
without the comparison, and writes ``labelling.png``, ``segmentation.png`` and the pages of a project into FOLDER.
"""

import tempfile
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as NotInTime
from rich.console import Console

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.demo.browser import chromium, sign_in
from pt4al_backend.demo.project import LEAD, DemoProject, set_up
from pt4al_backend.demo.screen import Screen
from pt4al_backend.errors import PT4ALError
from pt4al_backend.processes import wait_until

ROUNDS = {"classification": 3, "segmentation": 2}
WIDTH, HEIGHT = 1280, 800
WAIT_MILLISECONDS = 60_000
PANEL_MILLISECONDS = 15_000  # for a page to draw what is there: a map without a GPU takes seconds
SETTLE_MILLISECONDS = 1_500  # for what fades in
LARGEST_BYTES, COLOURS = 300_000, 256  # a picture with more bytes is reduced to these many colours, the rare ones among them
TASKS_TRIED = 12
#: Pages of a project, and what shows that all of it is there: some of it is computed in the background, seconds later.
PANELS = {"next": "img", "map": "#map[data-drawn]", "quality": ".heatmap .hm"}


def main(
    label_studio: Annotated[Path, typer.Argument(help="Label Studio's command.")],
    folder: Annotated[Path, typer.Argument(help="Takes the pictures.")],
    task: Annotated[list[str], typer.Option(help="Main tasks whose pictures are taken.")] = [*ROUNDS],  # noqa: B006
) -> None:
    """Takes the pictures of the docs."""
    with tempfile.TemporaryDirectory(prefix="pt4al-screenshots-") as work:
        for each in task:
            take(each, ROUNDS[each], label_studio.absolute(), Path(work) / each, folder)


def take(task: str, rounds: int, label_studio: Path, work: Path, folder: Path) -> None:
    """Runs the demo of a main task, and takes its pictures while the next round waits for labels.

    Raises:
        PT4ALError: something stands in the way, and what to change.
    """
    screen = Screen(Console(highlight=False))
    with ExitStack() as stack:
        project = set_up(stack, task, work, label_studio, screen, images=None, masks=None)
        with screen.live(rounds):
            project.simulated_annotators(screen).run(rounds, lambda _closed: None)
        page = stack.enter_context(chromium(work / "chromium", WIDTH, HEIGHT)).pages[0]
        page.set_default_timeout(WAIT_MILLISECONDS)
        expect.set_options(timeout=WAIT_MILLISECONDS)
        page.goto(project.status_page)
        expect(page.get_by_text("Waiting for labels")).to_be_visible()
        if task == "classification":
            expect(page.locator("#curve-chart .scatterlayer")).to_be_visible()
            _save(page.screenshot(full_page=True), folder / "status.png")
            for panel, part in PANELS.items():
                _open_panel(page, f"{project.status_page}/{panel}", part)
                _save(page.screenshot(), folder / f"{panel}.png")
        sign_in(page, project.label_studio.url, LEAD, project.password)
        _open_predicted_task(page, project)
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        _save(page.screenshot(), folder / ("labelling.png" if task == "classification" else "segmentation.png"))


def _open_panel(page: Page, address: str, part: str) -> None:
    """Opens a page, again and again until a part of it is there."""

    def is_there() -> bool:
        page.goto(address)
        try:
            page.locator(part).first.wait_for(state="attached", timeout=PANEL_MILLISECONDS)
        except NotInTime:
            return False
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        return True

    wait_until(is_there, WAIT_MILLISECONDS / 1000, f"{address} shows {part}")


def _open_predicted_task(page: Page, project: DemoProject) -> None:
    """Opens the label stream, and labels tasks until one is served that shows a prediction: control picks show none."""
    annotator: Annotator = project.annotators["Ada"]
    for _ in range(TASKS_TRIED):
        task = annotator.next_task(project.id)
        if task is None:
            break
        if any(each["result"] for each in annotator.task(task["id"])["predictions"]):
            page.goto(f"{project.label_studio.url}/projects/{project.id}/data")
            page.locator("button", has_text="Label All Tasks").click()
            expect(page.locator(".lsf-current-task__task-id")).to_contain_text(str(task["id"]))
            return
        annotator.annotate(task["id"], project.images.regions(project.files[int(task["id"])]))
    raise PT4ALError("No task with a prediction is served.", "See the backend's log.")


def _save(png: bytes, path: Path) -> None:
    with Image.open(BytesIO(png)) as picture:
        full = picture.convert("RGB")
    full.save(path, optimize=True)
    if path.stat().st_size > LARGEST_BYTES:
        full.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    typer.run(main)
