"""Chromium, for the tests of what people see."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from pt4al_backend.config import ServerSettings
from pt4al_backend.demo.browser import chromium, chromium_command, sign_in
from pt4al_backend.state.store import Store
from tests.support.backend import SECONDS
from tests.support.filled import fill, served
from tests.support.servers import LabelStudioServer

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def browser_page(tmp_path: Path) -> Iterator[Page]:
    """A page of a fresh Chromium, which calls no machine but this one."""
    if chromium_command() is None:
        reason = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("REQUIRE_LABEL_STUDIO") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    strangers: set[str] = set()

    def note(url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", None):
            strangers.add(url)

    with chromium(tmp_path / "chromium") as context:
        context.set_default_timeout(SECONDS * 1000)
        context.on("request", lambda request: note(request.url))
        yield context.pages[0]
    assert not strangers


@pytest.fixture
def signed_in_page(browser_page: Page, label_studio: LabelStudioServer) -> Page:
    """The same, where the shared Label Studio's admin has signed in."""
    sign_in(browser_page, label_studio.url, label_studio.email, label_studio.password)
    return browser_page


@pytest.fixture
def filled(settings: ServerSettings) -> Iterator[str]:
    """The address of a web app that shows the project of `tests.support.filled`."""
    store = Store.open(settings)
    fill(store, settings)
    with served(store, settings) as url:
        yield url
    store.close()
