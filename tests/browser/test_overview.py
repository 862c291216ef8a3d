"""The overview in a browser: what it shows of a project with known truth, and that it follows what happens."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.annotations import Annotated
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT, fill, served
from tests.support.images import class_of

pytestmark = pytest.mark.browser


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    opened = Store.open(settings)
    fill(opened, settings)
    yield opened
    opened.close()


@pytest.fixture
def page_url(store: Store, settings: ServerSettings) -> Iterator[str]:
    with served(store, settings) as url:
        yield f"{url}/projects/{PROJECT}"


def test_charts_show_the_control_picks_and_the_labels_of_the_last_hours(browser_page: Page, page_url: str) -> None:
    said: list[str] = []
    browser_page.on("console", lambda message: said.append(message.text))
    browser_page.goto(page_url)
    curve = browser_page.locator("#curve-chart")
    expect(curve.locator(".scatterlayer .points path")).to_have_count(3)
    drawn = curve.evaluate("chart => chart.data.at(-1)")
    assert (drawn["x"], [round(value, 2) for value in drawn["y"]]) == ([20, 40, 60], [0.5, 0.7, 0.8])
    assert [round(value, 3) for value in drawn["error_y"]["arrayminus"]] == [0.263, 0.219, 0.173]
    hours = browser_page.locator("#hours-chart")
    expect(hours.locator(".barlayer")).to_be_visible()
    assert sum(hours.evaluate("chart => chart.data[0].y")) == 31
    assert said == []  # nothing was refused by the page's policy


def test_curve_of_a_class_is_drawn_when_it_is_chosen_by_a_part_of_its_name(browser_page: Page, page_url: str) -> None:
    browser_page.goto(page_url)
    field = browser_page.get_by_label("One class")
    field.fill("gre")
    expect(browser_page.locator("#class-said")).to_have_text("1 class")
    field.press("Enter")
    expect(browser_page).to_have_url(f"{page_url}?class=green#curve")
    expect(browser_page.locator("#chosen")).to_contain_text("30 control picks")
    curve = browser_page.locator("#curve-chart")
    expect(curve.locator(".scatterlayer .points path")).to_have_count(6)
    drawn = curve.evaluate("chart => chart.data.at(-2)")
    assert [round(value, 2) for value in drawn["y"]] == [0.5, 0.7, 0.8]
    browser_page.get_by_role("link", name="All classes only").click()
    expect(curve.locator(".scatterlayer .points path")).to_have_count(3)


def test_labels_are_shown_by_day_and_by_annotator(browser_page: Page, page_url: str) -> None:
    browser_page.goto(page_url)
    rows = browser_page.locator("#annotators tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("User 4")
    assert [cell.inner_text() for cell in rows.nth(0).locator("td.number").all()] == ["16", "61", "46", "0"]
    expect(browser_page.locator("#today")).to_contain_text("31")


def test_page_follows_what_happens_and_keeps_what_is_open(browser_page: Page, page_url: str, store: Store) -> None:
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.goto(page_url)
    expect(browser_page.locator("#curve-chart .scatterlayer")).to_be_visible()
    browser_page.locator("#settings summary").click()
    browser_page.evaluate("document.getElementById('curve-chart').dataset.before = 'yes'")
    store.put_answers(PROJECT, {92: StoredAnswer(AnswerKind.LABEL, class_of(92))})
    store.put_annotations(PROJECT, {92: [Annotated(92, 4, int(time.time()), False)]})
    store.change(PROJECT, phase="training", synced_until="2026-11-30T08:15:00.000000Z")
    expect(browser_page.get_by_text("92 of 120")).to_be_visible()
    expect(browser_page.locator("#annotators")).to_contain_text("47")
    expect(browser_page.get_by_text("Training the model")).to_be_visible()
    expect(browser_page.locator("#settings")).to_have_attribute("open", "")
    assert browser_page.locator("#curve-chart").get_attribute("data-before") == "yes"  # the same chart, drawn over
    assert not any("/overview?" in url for url in asked)  # it would be computed twice


def test_numbers_and_times_follow_the_browsers_customs(browser_page: Page, page_url: str, store: Store) -> None:
    store.change(PROJECT, served_version="pt4al-r4-20261130-030154")
    emulated = browser_page.context.new_cdp_session(browser_page)
    emulated.send("Emulation.setLocaleOverride", {"locale": "de-DE"})
    emulated.send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    browser_page.goto(page_url)
    expect(browser_page.locator("dl.facts").first).to_contain_text("62,7\N{NO-BREAK SPACE}% to 90,5\N{NO-BREAK SPACE}%")
    expect(browser_page.locator("#rounds")).to_contain_text("15.01.2027, 10:00")
    expect(browser_page.get_by_text("pt4al-r4-20261130-030154", exact=True)).to_be_visible()  # a name is no number


def test_phone_shows_it_without_scrolling_sideways(browser_page: Page, page_url: str) -> None:
    browser_page.set_viewport_size({"width": 375, "height": 700})
    browser_page.goto(page_url)
    expect(browser_page.locator("#curve-chart .scatterlayer")).to_be_visible()
    assert browser_page.evaluate("document.documentElement.scrollWidth") == 375
