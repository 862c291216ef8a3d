"""Every page of a project that lacks something."""

import re
from collections.abc import Callable, Mapping

import pytest

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


def of_one_class(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings, TASKS, config=ONE_CLASS, answers=lambda _: StoredAnswer(AnswerKind.LABEL, "red"))


STATES: Mapping[str, Callable[[Store, ServerSettings], None]] = {
    "just connected": connected,
    "without a label": unlabelled,
    "with all images set aside": set_aside,
    "with one class": of_one_class,
}


@pytest.mark.parametrize("made", STATES.values(), ids=STATES.keys())
def test_pages_stand_whatever_a_project_lacks(
    client: Client, store: Store, settings: ServerSettings, made: Callable[[Store, ServerSettings], None]
) -> None:
    made(store, settings)
    for tab in (*TABS, "report"):
        answer = client.page(f"/projects/{PROJECT}/{tab}".rstrip("/"))
        assert answer.status_code == 200, tab
        shown = re.sub(r"<[^>]*>", " ", answer.text)
        assert not re.search(r"\b(?:nan|None(?!:)|undefined|inf)\b", shown), tab
