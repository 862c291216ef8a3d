"""The pages of a project with known truth, in a browser."""

from playwright.sync_api import Page, expect

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
