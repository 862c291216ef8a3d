"""The form of the settings in a browser. That a change reaches Label Studio is in tests/integration/test_page.py."""

from playwright.sync_api import Page, expect

from tests.support.filled import PROJECT


def test_change_is_confirmed_and_errors_stand_beside_their_fields(browser_page: Page, filled: str) -> None:
    page = browser_page
    page.goto(f"{filled}/projects/{PROJECT}/settings")
    save = page.get_by_role("button", name="Save")
    expect(save).to_be_disabled()
    page.get_by_label("rounds").fill("0")
    page.get_by_label("warm_start").select_option("true")
    expect(page.locator("#said")).to_have_text("2 settings changed")
    save.click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("rounds")
    expect(asked).to_contain_text("not given → 0")
    expect(asked).to_contain_text("not given → true")
    asked.get_by_role("button", name="Cancel").click()
    expect(page.locator("#said")).to_have_text("2 settings changed")
    save.click()
    asked.get_by_role("button", name="Change them").click()
    expect(page.locator("#error-rounds")).to_have_text("Input should be greater than or equal to 1")
    expect(page.locator("#error-warm_start")).to_be_hidden()
    expect(page.get_by_label("rounds")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("rounds")).to_have_value("")
    expect(page.locator("#error-rounds")).to_be_hidden()
    expect(save).to_be_disabled()
