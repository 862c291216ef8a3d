"""Chromium, for screenshots and for the tests of what people see."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, ViewportSize, sync_playwright

from pt4al_backend.errors import ConfigError

#: Without the latter ones Chromium calls its makers' servers.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium_command() -> str | None:
    """The installed Chromium."""
    return shutil.which("chromium")


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 800, flags: Sequence[str] = ()) -> Iterator[BrowserContext]:
    """A fresh Chromium with one page, as wide and high as given in CSS pixels; ``profile`` takes what it writes.

    Raises:
        ConfigError: it is not installed.
    """
    command = chromium_command()
    if command is None:
        raise ConfigError("Chromium is not installed.", "apt-get install chromium")
    with sync_playwright() as playwright:
        viewport: ViewportSize = {"width": width, "height": height}
        args = [*FLAGS, *flags]
        context = playwright.chromium.launch_persistent_context(profile, executable_path=command, args=args, viewport=viewport)
        try:
            yield context
        finally:
            context.close()


def sign_in(page: Page, url: str, email: str, password: str) -> None:
    """Signs in to the Label Studio at ``url``."""
    page.goto(url)
    page.locator("input[name=email]").fill(email)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{url}/")
