"""Every page of a project that lacks something."""

import re
from collections.abc import Callable, Mapping

import pytest
from markupsafe import escape

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.rendering import TABS
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT, fill
from tests.support.images import LABEL_CONFIG
from tests.support.judged import fill_judged
from tests.support.web_client import Client

TASKS = 120
LONGEST = 300_000  # bytes of a page, whatever a project holds
HOSTILE = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>"]
ONE_CLASS = (
    '<View><Image name="image" value="$image"/><Choices name="colour" toName="image"><Choice value="red"/></Choices></View>'
)


def connected(store: Store, _: ServerSettings) -> None:
    store.connect(PROJECT, "", label_config=LABEL_CONFIG)


def unlabelled(store: Store, settings: ServerSettings) -> None:
    fill(store, settings, TASKS)
    store.clear_tasks(PROJECT, answer=AnswerKind.NONE, label="")
    store.put_annotations(PROJECT, dict.fromkeys(range(1, TASKS + 1), ()))


def set_aside(store: Store, settings: ServerSettings) -> None:
    fill(store, settings, TASKS)
    store.set_tasks(PROJECT, {"id": range(1, TASKS + 1), "row": [None] * TASKS, "problem": ["The image file is empty."] * TASKS})


def of_many_classes(store: Store, settings: ServerSettings) -> None:
    names = [*HOSTILE, *(f"class {number}" for number in range(10_000))]
    choices = "".join(f'<Choice value="{escape(name)}"/>' for name in names)
    config = f'<View><Image name="image" value="$image"/><Choices name="colour" toName="image">{choices}</Choices></View>'
    fill_judged(store, settings, TASKS, config=config, answers=lambda task: StoredAnswer(AnswerKind.LABEL, names[task % 60]))
    store.change(PROJECT, title=HOSTILE[0], error=HOSTILE[1], remedy=HOSTILE[0], notices={"encoder": HOSTILE[1]})
    store.set_tasks(PROJECT, {"id": [118, 119], "problem": HOSTILE, "row": [None, None]})
    store.set_tasks(PROJECT, {"id": [117], "image": [HOSTILE[0]]})


def of_one_class(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings, TASKS, config=ONE_CLASS, answers=lambda _: StoredAnswer(AnswerKind.LABEL, "red"))


STATES: Mapping[str, Callable[[Store, ServerSettings], None]] = {
    "just connected": connected,
    "without a label": unlabelled,
    "with all images set aside": set_aside,
    "with one class": of_one_class,
    "with ten thousand classes and hostile names": of_many_classes,
}


@pytest.mark.parametrize("made", STATES.values(), ids=STATES.keys())
def test_pages_stand_whatever_a_project_lacks(
    client: Client, store: Store, settings: ServerSettings, made: Callable[[Store, ServerSettings], None]
) -> None:
    made(store, settings)
    check_pages(client)


@pytest.mark.slow
def test_pages_of_200_000_tasks_stand_and_are_no_longer_for_that(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings, TASKS)
    store.put_tasks(PROJECT, [{"id": number, "image": f"/data/{number}.png"} for number in range(TASKS + 1, 200_001)])
    check_pages(client)
    assert "of 200,000 images are labelled" in client.page(f"/projects/{PROJECT}/report").text


def check_pages(client: Client) -> None:
    """Every page is there, short, and shows no value that is none and no text of others as markup."""
    for tab in (*TABS, "report"):
        answer = client.page(f"/projects/{PROJECT}/{tab}".rstrip("/"))
        assert answer.status_code == 200, tab
        shown = re.sub(r"<[^>]*>", " ", answer.text)
        assert not re.search(r"\b(?:nan|None(?!:)|undefined|inf)\b", shown), tab
        assert not any(text in answer.text for text in HOSTILE), tab
        assert len(answer.content) < LONGEST, tab
