"""The pages of a project with known truth, in a browser."""

import pytest
from playwright.sync_api import Page, expect

from pt4al_backend.server import pdf_export
from tests.support.filled import PROJECT, TITLE


def test_project_is_opened_from_the_list(browser_page: Page, filled: str) -> None:
    browser_page.goto(filled)
    browser_page.get_by_role("link", name=TITLE).click()
    expect(browser_page).to_have_url(f"{filled}/projects/{PROJECT}")
    expect(browser_page.get_by_role("heading", name=TITLE)).to_be_visible()
    expect(browser_page.get_by_text("80.0 %").first).to_be_visible()


def test_page_runs_under_its_own_policy(browser_page: Page, filled: str) -> None:
    said: list[str] = []
    browser_page.on("console", lambda message: said.append(message.text))
    with browser_page.expect_response(lambda answer: "/status?" in answer.url):  # the script's first refresh
        browser_page.goto(f"{filled}/projects/{PROJECT}")
    assert said == []


def test_numbers_of_every_page_follow_the_browsers_customs_once(browser_page: Page, filled: str) -> None:
    emulated = browser_page.context.new_cdp_session(browser_page)
    emulated.send("Emulation.setLocaleOverride", {"locale": "de-DE"})
    browser_page.goto(f"{filled}/projects/{PROJECT}/act")
    expect(browser_page.get_by_text("Numbers of tasks")).to_have_text("Numbers of tasks, 1.000 at most")
    browser_page.goto(f"{filled}/projects/{PROJECT}/next")
    expect(browser_page.locator("#queue .answer [data-numbers]").first).to_contain_text(",0\N{NO-BREAK SPACE}%")
    for page in ("", "/next", "/quality", "/act", "/settings", "/take-away", "/report"):
        browser_page.goto(f"{filled}/projects/{PROJECT}{page}")
        expect(browser_page.locator("[data-numbers] [data-numbers]")).to_have_count(0)  # they would be rewritten twice


def test_report_is_saved_as_pdf_or_the_page_says_what_that_needs(
    browser_page: Page, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser_page.set_extra_http_headers({"Accept-Language": "de-DE,de"})
    monkeypatch.setattr(pdf_export, "pdf_of", lambda page, languages: f"%PDF-1.7 {languages}".encode())
    for address, link in (("take-away", "The same as PDF"), ("report", "Save as PDF")):
        browser_page.goto(f"{filled}/projects/{PROJECT}/{address}")
        with browser_page.expect_download() as saved:
            browser_page.get_by_role("link", name=link).click()
        assert saved.value.suggested_filename == f"project-{PROJECT}-report.pdf"
        assert saved.value.path().read_bytes().endswith(b"de-DE,de")
    monkeypatch.undo()
    monkeypatch.setattr(pdf_export, "find_spec", lambda name: None)
    browser_page.get_by_role("link", name="Save as PDF").click()
    expect(browser_page.get_by_text("pip install 'pt4al-backend[pdf]'")).to_be_visible()
