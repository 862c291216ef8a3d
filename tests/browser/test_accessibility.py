"""Every page can be used by everybody, as far as axe-core can tell."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.rendering import TABS
from pt4al_backend.state.store import Store
from tests.support.filled import PROJECT

CELL = "quality/tasks?by=control&label=red&answer=blue"
ADDRESSES = ("/", "/projects/404", *(f"/projects/{PROJECT}/{page}".rstrip("/") for page in (*TABS, "report", CELL)))
LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_break_no_rule_of_accessibility(browser_page: Page, filled: str, scheme: str) -> None:
    browser_page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    broken = []
    for address in ADDRESSES:
        browser_page.goto(filled + address)
        broken += _broken(browser_page, address)
        browser_page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        broken += _broken(browser_page, f"{address}, unfolded")
    browser_page.goto(f"{filled}/projects/{PROJECT}/act")
    browser_page.get_by_role("button", name="Pause").click()
    broken += _broken(browser_page, "a dialog")
    assert broken == []


def test_pages_are_no_wider_than_a_phone(browser_page: Page, filled: str, settings: ServerSettings) -> None:
    store = Store.open(settings)
    store.change(PROJECT, title=f"{LONG} {LONG}")
    store.set_tasks(PROJECT, {"id": [120], "problem": [f"The image https://example.com/{LONG}/{LONG}.png is empty."]})
    store.close()
    browser_page.set_viewport_size({"width": 375, "height": 800})
    for address in ADDRESSES:
        browser_page.goto(filled + address)
        browser_page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert browser_page.evaluate("document.documentElement.scrollWidth") <= 375, address


def _broken(page: Page, where: str) -> list[str]:
    """The rules that the page breaks, with the first element that breaks each."""
    found = Axe().run(page).response["violations"]
    return [f"{where}: {each['id']} at {each['nodes'][0]['target']}: {each['help']}" for each in found]
