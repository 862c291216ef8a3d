"""The map in a browser: what hovering and the lasso find, what the colours say, and what is left without WebGL."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from pt4al_backend.config import ServerSettings
from pt4al_backend.demo.browser import chromium, chromium_command
from pt4al_backend.engine.insights import map_layout
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.jobs.job import Job
from pt4al_backend.jobs.layout import lay_out
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import AnswerKind, StoredAnswer
from tests.support.filled import DIGEST, ENCODER, FEATURES, PROJECT, fill, served
from tests.support.images import CLASSES, class_of
from tests.support.layouts import lay_out_filled, write_learner
from tests.support.map_page import frame_of, lasso, open_map, pixel

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    store = Store.open(settings)
    fill(store, settings)
    lay_out_filled(store, settings)
    yield store
    store.close()


@pytest.fixture
def opened(browser_page: Page, store: Store, settings: ServerSettings) -> Iterator[Callable[[], Page]]:
    """Opens the map, and waits until it is drawn."""
    with served(store, settings) as url:

        def go() -> Page:
            open_map(browser_page, url, PROJECT)
            return browser_page

        yield go


def legend(page: Page) -> dict[str, int]:
    """Groups in the legend, and how many points each has."""
    rows = page.locator("#legend li:has(input)")
    found = rows.evaluate_all("rows => rows.map(row => [...row.querySelectorAll('span')].map(each => each.textContent))")
    return {name: int(count) for name, count in found}


def test_hovering_shows_the_image_and_what_is_known_of_it(opened: Callable[[], Page]) -> None:
    page = opened()
    page.mouse.move(*pixel(page, 93))
    card = page.locator("#card")
    expect(card).to_be_visible()
    expect(card).to_contain_text(f"Task 93Model: {class_of(93)}Uncertainty: 48 %Batch 2Query")
    assert card.locator("img").get_attribute("src") == f"/api/projects/{PROJECT}/tasks/93/thumbnail"


def test_each_colour_counts_what_the_state_holds(opened: Callable[[], Page], store: Store) -> None:
    store.put_answers(PROJECT, {120: StoredAnswer(AnswerKind.LABEL, HOSTILE)})
    page = opened()
    labels = [class_of(task) for task in range(1, 92)]
    assert legend(page) == {**{name: labels.count(name) for name in CLASSES}, HOSTILE: 1, "no label": 28}
    expected = {
        "batch": {"Batch 1": 60, "Batch 2": 60},
        "queue": {"Query": 4, "Control pick": 1, "Reserve": 3, "not in the queue": 112},
        "control": {"Control picks": 32, "all others": 88},
        "uncertainty": {"scored by the model": 7, "not scored": 113},
    }
    for colour, groups in expected.items():
        page.locator("#colour").select_option(colour)
        expect(page.locator("#map")).to_have_attribute("data-drawn", colour)
        assert legend(page) == groups


def test_lasso_tells_the_images_that_are_gone_and_stays_when_a_label_comes(opened: Callable[[], Page], store: Store) -> None:
    page = opened()
    reds = [task for task in range(1, 121) if task % 3 == 0]
    lasso(page, reds)
    expect(page.locator("#chosen-title")).to_have_text("40 images chosen")
    shown = page.locator("#tiles a").all_text_contents()
    assert {int(text.removeprefix("Task ")) % 3 for text in shown} == {0}
    store.drop_tasks(PROJECT, [117, 120])
    page.get_by_role("button", name="Label these next").click()
    page.get_by_role("dialog").get_by_role("button", name="Label these next").click()
    done = page.locator("#done")
    expect(done).to_contain_text("2 left out: there is no such task.")
    expect(done).to_contain_text("30 left out: it is labelled.")
    assert set(store.choices(PROJECT).tolist()) == set(reds[30:]) - {117, 120}
    page.evaluate("delete document.getElementById('map').dataset.drawn")
    store.put_answers(PROJECT, {93: StoredAnswer(AnswerKind.LABEL, HOSTILE)})
    expect(page.locator("#map")).to_have_attribute("data-drawn", "label")
    expect(page.locator("#legend")).to_contain_text(HOSTILE)
    expect(page.locator("#chosen-title")).to_have_text("40 images chosen")
    expect(page.locator("#chosen")).to_be_visible()
    expect(done).to_contain_text("30 left out")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#chosen")).to_be_hidden()


def test_colours_follow_labels_and_not_the_progress_of_a_job(opened: Callable[[], Page], store: Store) -> None:
    page = opened()
    read: list[str] = []
    page.on("request", lambda request: read.append(request.url) if request.url.endswith("/map/colours") else None)
    page.evaluate(
        f"const stream = new EventSource('/api/projects/{PROJECT}/events'); document.body.dataset.heard = 0;"
        "stream.addEventListener('change', () => { document.body.dataset.heard++; })"
    )
    expect(page.locator("body")).to_have_attribute("data-heard", "1")
    store.change(PROJECT, phase="training", progress=Progress(Phase.TRAINING, 3, 10))
    expect(page.locator("body")).to_have_attribute("data-heard", "2")
    store.put_answers(PROJECT, {93: StoredAnswer(AnswerKind.LABEL, HOSTILE)})
    expect(page.locator("#legend")).to_contain_text(HOSTILE)
    assert len(read) == 1


def test_open_page_follows_the_drawing_and_then_shows_the_map(browser_page: Page, settings: ServerSettings) -> None:
    class Watched:
        """A runner that is watched on the page when half is done."""

        def run(self, folder: Path, on_progress: Report, on_tick: Callable[[], None]) -> Path:
            on_tick()
            on_progress(Progress(Phase.LAYOUT, done=1, total=2))
            expect(browser_page.get_by_role("progressbar", name="How much of the map is drawn")).to_have_attribute("value", "0.5")
            lay_out(Job.read(folder), on_progress)
            return folder / "result"

    store = Store.open(settings)
    fill(store, settings)
    learner = write_learner(project_dir(settings, Project(id=PROJECT)) / "rank-1" / "result", ENCODER, DIGEST, FEATURES)
    store.change(PROJECT, params={"encoder": ENCODER}, learner=str(learner.relative_to(settings.data_dir)))
    with served(store, settings) as url:
        browser_page.goto(f"{url}/projects/{PROJECT}/map")
        expect(browser_page.get_by_role("status")).to_contain_text("The map is drawn in the background")
        Insights(settings, store, [partial(map_layout.refresh, runner=Watched())]).refresh(PROJECT)
        expect(browser_page.locator("#map")).to_have_attribute("data-drawn", "label")
        expect(browser_page.locator("#said")).to_have_text("120 images.")
        expect(browser_page.locator("#undrawn")).to_be_hidden()
    store.close()


def test_without_webgl_there_is_a_still_picture_that_says_so(store: Store, settings: ServerSettings, tmp_path: Path) -> None:
    if chromium_command() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with served(store, settings) as url, chromium(tmp_path / "without", flags=["--disable-3d-apis"]) as context:
        page = context.pages[0]
        open_map(page, url, PROJECT)
        expect(page.locator("#said")).to_contain_text("This browser has no WebGL, so this is a still picture of 120 of them.")
        expect(frame_of(page).locator("path.point")).to_have_count(120)
        expect(page.get_by_role("radio", name="Lasso")).to_be_hidden()


def test_legend_of_thousands_of_classes_names_the_largest_and_counts_the_rest(opened: Callable[[], Page], store: Store) -> None:
    choices = "".join(f'<Choice value="Class {number}"/>' for number in range(10_000))
    config = f'<View><Image name="image" value="$image"/><Choices name="colour" toName="image">{choices}</Choices></View>'
    store.change(PROJECT, label_config=config, config_read=config)
    store.put_answers(PROJECT, {task: StoredAnswer(AnswerKind.LABEL, f"Class {task // 2}") for task in range(1, 101)})
    found = legend(opened())
    assert (len(found), found["21 more classes"], found["no label"]) == (32, 40, 20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawn_map_breaks_no_rule_of_accessibility(browser_page: Page, opened: Callable[[], Page], scheme: str) -> None:
    browser_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page = opened()
    lasso(page, [3, 6, 9])
    expect(page.locator("#chosen")).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["target"]) for each in found] == []
