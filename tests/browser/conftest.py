"""Chromium, for the tests of what people see."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.backend import SECONDS
from tests.support.servers import LabelStudioServer

#: Without the latter ones Chromium asks its makers' servers for this and that.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def browser_page(tmp_path: Path) -> Iterator[Page]:
    """A page of a fresh Chromium, which asks nobody but this machine."""
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("PT4AL_REQUIRE_LABEL_STUDIO") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    strangers: set[str] = set()

    def look(url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", None):
            strangers.add(url)

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "chromium", executable_path=chromium, args=FLAGS, viewport={"width": 1280, "height": 800}
        )
        context.set_default_timeout(SECONDS * 1000)
        context.on("request", lambda request: look(request.url))
        yield context.pages[0]
        context.close()
    assert not strangers


@pytest.fixture
def signed_in_page(browser_page: Page, label_studio: LabelStudioServer) -> Page:
    """The same, where the shared Label Studio's admin has signed in."""
    browser_page.goto(label_studio.url)
    browser_page.locator("input[name=email]").fill(label_studio.email)
    browser_page.locator("input[name=password]").fill(label_studio.password)
    browser_page.get_by_role("button", name="Log in").click()
    browser_page.wait_for_url(f"{label_studio.url}/")
    return browser_page
