"""The page of a project's quality, in a browser."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import nearest, quality
from pt4al_backend.engine.insights.background import Insight, Insights
from pt4al_backend.state.store import Store
from tests.support.filled import PROJECT, served
from tests.support.images import CLASSES
from tests.support.judged import GIVEN, MISTAKEN, WRONG, fill_judged


@pytest.fixture
def judged(settings: ServerSettings) -> Iterator[str]:
    """The page's address."""
    store = Store.open(settings)
    fill_judged(store, settings)
    with served(store, settings) as url:
        yield f"{url}/projects/{PROJECT}/quality"
    store.close()


def test_planted_faults_are_seen_and_cells_open_their_tasks(browser_page: Page, judged: str) -> None:
    said: list[str] = []
    browser_page.on("console", lambda message: said.append(message.text))
    browser_page.goto(judged)
    first = browser_page.get_by_role("list", name="Suspected label errors").get_by_role("listitem").first
    expect(first.get_by_role("link")).to_contain_text(f"Task {WRONG}")
    expect(first).to_contain_text(f"Label {GIVEN}")
    expect(first).to_contain_text(f"Model {CLASSES[WRONG % 3]}")
    assert first.get_by_role("img").evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    expect(browser_page.get_by_text("labels contradict each other", exact=True)).to_be_visible()
    chart = browser_page.get_by_role("img", name="Labels of control picks against the model's answers")
    expect(chart.locator(".heatmaplayer image")).to_have_count(1)
    assert said == []
    area = chart.locator(".nsewdrag")
    area.scroll_into_view_if_needed()
    square = area.bounding_box()
    assert square is not None
    browser_page.mouse.move(square["x"] + square["width"] / 4, square["y"] + square["height"] * 3 / 4, steps=3)
    expect(chart.locator(".hoverlayer")).to_contain_text("3 tasks")
    browser_page.mouse.down()
    browser_page.mouse.up()
    tasks = browser_page.get_by_role("list", name="Tasks").get_by_role("listitem")
    expect(tasks).to_have_count(len(MISTAKEN))
    expect(tasks.first).to_contain_text(f"Task {MISTAKEN[0]}")
    tops = tasks.evaluate_all("tiles => tiles.map(tile => tile.getBoundingClientRect().top)")
    assert len(set(tops)) == 1, "tiles stand in a row"
    browser_page.get_by_role("link", name="Quality").first.click()
    expect(browser_page.get_by_role("heading", name="Near-duplicates")).to_be_visible()


def find(settings: ServerSettings, insight: Insight) -> None:
    """What the worker does beside an open page."""
    with closing(Store.open(settings)) as store:
        Insights(settings, store, [insight]).refresh(PROJECT)


def test_open_page_shows_what_is_computed_next(browser_page: Page, filled: str, settings: ServerSettings) -> None:
    browser_page.goto(f"{filled}/projects/{PROJECT}/quality")
    expect(browser_page.locator("#quality")).to_contain_text("Not computed yet")
    find(settings, quality.refresh)
    expect(browser_page.locator("#quality")).to_contain_text("with the labels of round 4")
    expect(browser_page.get_by_role("region", name="Class balance")).to_contain_text("green")


def test_open_queue_shows_the_neighbours_that_are_found_next(browser_page: Page, judged: str, settings: ServerSettings) -> None:
    browser_page.goto(judged.replace("/quality", "/next"))
    expect(browser_page.locator("#queue")).to_contain_text("No nearest labelled neighbours are shown.")
    find(settings, nearest.refresh)
    expect(browser_page.locator("#queue .neighbour")).to_have_count(7)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_full_page_the_tasks_of_a_cell_and_the_report_break_no_rule_of_accessibility(
    browser_page: Page, judged: str, scheme: str
) -> None:
    browser_page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    broken = []
    report = judged.replace("/quality", "/report")
    for address in (judged, f"{judged}/tasks?by=control&label=green&answer=red", report):
        browser_page.goto(address)
        browser_page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        found = Axe().run(browser_page).response["violations"]
        broken += [f"{address}: {each['id']} at {each['nodes'][0]['target']}: {each['help']}" for each in found]
    assert broken == []


def test_pages_fit_a_phone(browser_page: Page, judged: str) -> None:
    browser_page.set_viewport_size({"width": 375, "height": 800})
    for address in (judged, judged.replace("/quality", "/report"), judged.replace("/quality", "/take-away")):
        browser_page.goto(address)
        assert browser_page.evaluate("document.documentElement.scrollWidth") == 375


def test_numbers_follow_the_browsers_customs(browser_page: Page, judged: str) -> None:
    emulated = browser_page.context.new_cdp_session(browser_page)
    emulated.send("Emulation.setLocaleOverride", {"locale": "de-DE"})
    browser_page.goto(judged)
    expect(browser_page.get_by_role("navigation", name="On this page")).to_contain_text("90,0\N{NO-BREAK SPACE}%")
    expect(browser_page.get_by_role("region", name="Class balance")).to_contain_text("100,0\N{NO-BREAK SPACE}%")
    browser_page.goto(judged.replace("/quality", "/report"))
    expect(browser_page.get_by_text("A model agrees with")).to_contain_text("90,0\N{NO-BREAK SPACE}%")
