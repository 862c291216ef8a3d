"""Looking at the queue and acting on a project, in a browser."""

import re
from contextlib import closing
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.queue_order import led_by
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import AnswerKind, Pick
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT
from tests.support.images import class_of


@pytest.fixture
def act_page(browser_page: Page, filled: str) -> Page:
    browser_page.goto(f"{filled}/projects/{PROJECT}/act")
    return browser_page


def log(url: str) -> list[dict[str, Any]]:
    return list(requests.get(f"{url}/api/projects/{PROJECT}/actions", timeout=30).json())


def press(page: Page, name: str) -> None:
    page.locator(".acts").get_by_role("button", name=name, exact=True).click()


def confirm(page: Page) -> None:
    page.locator("#go").click()
    expect(page.locator("#cancel")).to_have_text("Close")


def test_queue_shows_pictures_in_the_order_served(browser_page: Page, filled: str) -> None:
    browser_page.goto(f"{filled}/projects/{PROJECT}")
    browser_page.get_by_role("link", name="Next in the queue").click()
    tiles = browser_page.locator("ol.tiles > li")
    assert [re.findall(r"Task (\d+)", text)[0] for text in tiles.all_inner_texts()] == [str(task) for task in range(91, 100)]
    pictures = browser_page.get_by_role("img", name=re.compile("Image of task"))
    assert [picture.evaluate("each => each.decode().then(() => each.naturalWidth)") for picture in pictures.all()] == [32] * 9
    browser_page.locator("summary").click()
    browser_page.get_by_role("navigation", name="The model's answer").get_by_role("link", name=class_of(93)).click()
    expect(tiles).to_have_count(3)


def test_tasks_are_chosen_to_be_labelled_next(act_page: Page, filled: str) -> None:
    act_page.get_by_label("Numbers of tasks").fill("101, 1 5000\n102")
    press(act_page, "Label next")
    expect(act_page.get_by_role("dialog")).to_contain_text("Tasks 101, 1, 5000, 102")
    confirm(act_page)
    for words in (
        "2 tasks are served next.",
        "Task 1 is left out: it is labelled.",
        "Task 5000 is left out: there is no such task.",
    ):
        expect(act_page.get_by_role("status")).to_contain_text(words)
    act_page.locator("#cancel").click()
    row = act_page.get_by_role("row").filter(has_text="chose tasks to be labelled next")
    expect(row).to_contain_text("101, 102")
    expect(row).to_contain_text("someone at the page")


def test_choices_are_withdrawn_all_at_once_or_one_by_one(act_page: Page, filled: str, settings: ServerSettings) -> None:
    with closing(Store.open(settings)) as store:
        chosen = [
            Pick(project_id=PROJECT, round=4, task_id=task, position=0, kind=PickKind.PERSON, score=0.0) for task in (101, 102)
        ]
        store.choose(PROJECT, [101, 102, 103], "the lead")
        store.replace_picks(PROJECT, 4, led_by(chosen, store.picks(PROJECT, 4)))
    act_page.goto(f"{filled}/projects/{PROJECT}/next")
    act_page.get_by_role("button", name="Withdraw the choice of task 102").click()
    act_page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    expect(act_page.get_by_role("status")).to_contain_text("1 choice is withdrawn.")
    act_page.goto(f"{filled}/projects/{PROJECT}/act")
    expect(act_page.locator("[data-action=withdraw-choices]")).to_contain_text(
        "2 tasks wait because a person chose them: 101, 103"
    )
    press(act_page, "Withdraw all")
    confirm(act_page)
    act_page.locator("#cancel").click()
    expect(act_page.locator("[data-action=withdraw-choices]")).to_contain_text("No task that a person chose waits for an answer.")
    assert [each["detail"] for each in log(filled)[:2]] == ["101, 103", "102"]


@pytest.mark.parametrize("entered", ["", "  ", "12 x", "-3", "1.5", "<b>", "9007199254740993"])
def test_what_is_no_list_of_tasks_is_not_sent(act_page: Page, filled: str, entered: str) -> None:
    act_page.get_by_label("Numbers of tasks").fill(entered)
    press(act_page, "Label next")
    expect(act_page.get_by_role("status")).to_contain_text("number")
    expect(act_page.locator("#go")).to_be_hidden()
    assert log(filled) == []


def test_cancelled_action_does_nothing(act_page: Page, filled: str) -> None:
    for leave in (lambda: act_page.get_by_role("button", name="Cancel").click(), lambda: act_page.keyboard.press("Escape")):
        press(act_page, "Pause")
        leave()
        expect(act_page.get_by_role("dialog")).to_be_hidden()
    assert log(filled) == []


def test_project_is_paused_and_resumed_by_keyboard(act_page: Page) -> None:
    act_page.locator(".acts").get_by_role("button", name="Pause", exact=True).focus()
    act_page.keyboard.press("Enter")
    expect(act_page.locator("#cancel")).to_be_focused()
    act_page.keyboard.press("Tab")
    act_page.keyboard.press("Enter")
    expect(act_page.locator("#cancel")).to_have_text("Close")
    act_page.keyboard.press("Enter")
    expect(act_page.get_by_text("Paused since")).to_be_visible()
    press(act_page, "Resume")
    confirm(act_page)
    act_page.locator("#cancel").click()
    expect(act_page.get_by_text("Paused since")).to_be_hidden()


def test_two_people_who_close_the_same_round_close_it_once(act_page: Page, filled: str) -> None:
    press(act_page, "Close round 4")
    assert requests.post(f"{filled}/api/projects/{PROJECT}/close-round", json={"round": 4}, timeout=30).ok
    confirm(act_page)
    expect(act_page.get_by_role("status")).to_contain_text("Round 4 will be closed")
    assert [each["what"] for each in log(filled)] == ["close round"]


def test_control_picks_are_added_to_those_that_are_shown(act_page: Page, filled: str) -> None:
    act_page.get_by_label("How many more").fill("3")
    press(act_page, "Add")
    expect(act_page.get_by_role("status")).to_have_text("5 control picks in round 4")
    confirm(act_page)
    assert log(filled)[0]["detail"] == "5 in round 4"


def test_error_is_shown_with_its_remedy(act_page: Page, filled: str) -> None:
    press(act_page, "Start training")
    requests.post(f"{filled}/api/projects/{PROJECT}/forget", timeout=30)
    act_page.locator("#go").click()
    expect(act_page.get_by_role("status")).to_contain_text("is not connected to this backend. Connect it in Label Studio")


def test_forgotten_project_leaves_the_list(act_page: Page, filled: str) -> None:
    press(act_page, "Forget")
    confirm(act_page)
    act_page.locator("#cancel").click()
    expect(act_page).to_have_url(f"{filled}/")
    expect(act_page.get_by_text("No project is connected yet")).to_be_visible()


def test_queue_shows_answers_as_they_come(browser_page: Page, filled: str, settings: ServerSettings) -> None:
    browser_page.goto(f"{filled}/projects/{PROJECT}/next")
    store = Store.open(settings)
    store.put_answers(PROJECT, {94: StoredAnswer(AnswerKind.SKIP)})
    store.close()
    expect(browser_page.locator("li").filter(has_text="Task 94")).to_contain_text("skipped")
