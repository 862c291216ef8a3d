"""Server-sent events, from the real web app: what is heard, by how many, and how it ends."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from pt4al_backend.config import ServerSettings
from pt4al_backend.server import events
from pt4al_backend.state.store import Store
from tests.support.filled import PROJECT, fill, served

SECONDS = 30


@pytest.fixture
def url(store: Store, settings: ServerSettings) -> Iterator[str]:
    fill(store, settings)
    with served(store, settings) as address:
        yield f"{address}/api/projects/{PROJECT}/events"


def listen(stack: ExitStack, url: str) -> Iterator[dict[str, object]]:
    """The data of the events that one listener hears."""
    answer = stack.enter_context(requests.get(url, stream=True, timeout=SECONDS))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")

    def heard() -> Iterator[dict[str, object]]:
        for line in answer.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))

    return heard()


def test_every_listener_hears_the_present_and_each_change(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[int] = []
    read = Store.counts
    monkeypatch.setattr(Store, "counts", lambda self, project_id: (readings.append(project_id), read(self, project_id))[1])
    with ExitStack() as stack:
        listeners = [listen(stack, url) for _ in range(20)]
        first = [next(each) for each in listeners]
        assert {each["labelled"] for each in first} == {91}
        assert len({each["revision"] for each in first}) == 1
        store.change(PROJECT, phase="training")
        second = [next(each) for each in listeners]
        assert {each["phase"] for each in second} == {"training"}
        assert len(readings) < 2 * len(listeners)  # one reading of the state serves them all


def test_stream_of_a_forgotten_project_ends(url: str, store: Store) -> None:
    with ExitStack() as stack:
        heard = listen(stack, url)
        next(heard)
        store.forget(store.project(PROJECT))
        assert list(heard) == []
    assert requests.get(url, timeout=SECONDS).status_code == 404


def test_listeners_beyond_the_limit_are_refused_until_one_leaves(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_LISTENERS", 2)
    with ExitStack() as stack:
        listeners = [listen(stack, url) for _ in range(2)]
        for each in listeners:
            next(each)
        refused = requests.get(url, timeout=SECONDS)
        assert refused.status_code == 503
        assert "Close other pages" in refused.json()["remedy"]
    with ExitStack() as stack:
        next(_admitted(stack, url))


def _admitted(stack: ExitStack, url: str) -> Iterator[dict[str, object]]:
    """Listens as soon as a place is free: the server notices with its next sign of life that a listener has left."""
    while (answer := requests.get(url, stream=True, timeout=SECONDS)).status_code == 503:
        answer.close()
    answer.close()
    return listen(stack, url)


def test_server_stops_although_somebody_listens(store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    with ExitStack() as stack:
        with served(store, settings) as address:
            heard = listen(stack, f"{address}/api/projects/{PROJECT}/events")
            next(heard)
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(address, timeout=SECONDS)


def test_reading_that_fails_ends_the_stream_and_is_logged(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Store, __: int) -> None:
        raise OSError("the disk")

    with ExitStack() as stack:
        heard = listen(stack, url)
        next(heard)
        monkeypatch.setattr(Store, "project", broken)
        assert list(heard) == []
    assert "OSError" in caplog.text
    assert "the disk" not in caplog.text
