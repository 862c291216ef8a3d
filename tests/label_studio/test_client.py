"""What the calls ask for; what Label Studio makes of them is asked in tests/integration/test_client.py."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from pt4al_backend.label_studio.client import LabelStudio
from tests.support.stub_server import Reply, Request, stub_server

TOKEN = "0123456789abcdef0123456789abcdef01234567"


def filters(request: Request) -> dict[str, Any]:
    query = json.loads(parse_qs(urlsplit(request.path).query)["query"][0])
    return dict(query["filters"])


def task_list(ids: list[int]) -> Callable[[Request], Reply]:
    """A project with these tasks; the first of them is deleted after each page."""
    present = list(ids)

    def answer(request: Request) -> Reply:
        last = filters(request)["items"][0]["value"]
        size = int(parse_qs(urlsplit(request.path).query)["page_size"][0])
        page = [{"id": task_id, "annotations": []} for task_id in present if task_id > last][:size]
        present.pop(0)
        return Reply(200, {"tasks": page})

    return answer


def test_tasks_deleted_between_pages_hide_no_other_task() -> None:
    with stub_server(task_list([3, 5, 8, 13, 21])) as (url, seen):
        pages = [[task["id"] for task in page] for page in LabelStudio(url, TOKEN).task_pages(1, page_size=2)]
    assert pages == [[3, 5], [8, 13], [21]]
    assert len(seen) == 3


def test_any_number_of_ids_is_sent_in_addresses_short_enough_for_label_studio() -> None:
    present = set(range(10**18, 10**18 + 2000, 2))  # longer ids than any that Label Studio gives

    def answer(request: Request) -> Reply:
        if len(request.path) > 6200:
            return Reply(414)
        selected = json.loads(parse_qs(urlsplit(request.path).query)["query"][0])["selectedItems"]
        assert selected["all"] is False
        last = filters(request)["items"][0]["value"]
        size = int(parse_qs(urlsplit(request.path).query)["page_size"][0])
        return Reply(200, {"tasks": [{"id": i} for i in sorted(present & set(selected["included"])) if i > last][:size]})

    wanted = list(range(10**18 + 100, 10**18 + 1100))
    for page_size in (7, 50, 900):
        with stub_server(answer) as (url, seen):
            pages = list(LabelStudio(url, TOKEN).named_pages(1, wanted, page_size))
        assert [task["id"] for page in pages for task in page] == wanted[::2]
        assert max(len(page) for page in pages) <= page_size
        assert len(seen) == -(-1000 // min(page_size, 250))


def test_no_ids_give_no_tasks() -> None:
    with stub_server(lambda _: Reply(200, {"tasks": [{"id": 1}]})) as (url, seen):
        assert list(LabelStudio(url, TOKEN).named_pages(1, [])) == []
    assert seen == []


def test_ids_come_as_one_array() -> None:
    with stub_server(task_list([3, 5, 8])) as (url, _):
        ids = LabelStudio(url, TOKEN).task_ids(1)
    assert ids.dtype == np.int64
    assert ids.tolist() == [3, 5, 8]


def test_a_project_without_tasks_has_no_pages_and_no_ids() -> None:
    with stub_server(lambda _: Reply(200, {"tasks": []})) as (url, _):
        client = LabelStudio(url, TOKEN)
        assert list(client.task_pages(1)) == []
        assert client.task_ids(1).tolist() == []


def test_time_without_decimals_is_sent_with_six() -> None:
    with stub_server(lambda _: Reply(200, {"tasks": []})) as (url, seen):
        client = LabelStudio(url, TOKEN)
        list(client.task_pages(1, updated_since="2026-11-21T09:19:51Z"))
        list(client.task_pages(1, updated_since="2026-11-21T09:19:51.223753Z"))
    since = [filters(request)["items"][0]["value"] for request in seen]
    assert since == ["2026-11-21T09:19:51.000000Z", "2026-11-21T09:19:51.223753Z"]


def test_no_predictions_are_no_request() -> None:
    with stub_server(lambda _: Reply(200, {"created": 0})) as (url, seen):
        assert LabelStudio(url, TOKEN).import_predictions(1, []) == 0
    assert seen == []


def test_tasks_that_hold_whole_images_come_in_short_pages() -> None:
    sizes: list[int] = []

    def answer(request: Request) -> Reply:
        last = filters(request)["items"][0]["value"]
        sizes.append(int(parse_qs(urlsplit(request.path).query)["page_size"][0]))
        page = [{"id": i, "annotations": [], "data": {"image": "data:" + "A" * 1_000_000}} for i in range(last + 1, 61)]
        return Reply(200, {"tasks": page[: sizes[-1]]})

    with stub_server(answer) as (url, _):
        pages = list(LabelStudio(url, TOKEN).task_pages(1))
    assert [task["id"] for page in pages for task in page] == list(range(1, 61))
    assert max(sizes) <= 25


def test_data_of_one_task_is_read_without_waking_a_backend() -> None:
    with stub_server(lambda _: Reply(200, {"tasks": [{"id": 7, "data": {"image": "x.png"}}]})) as (url, seen):
        assert LabelStudio(url, TOKEN).task_data(1, 7) == {"image": "x.png"}
    assert [urlsplit(request.path).path for request in seen] == ["/api/tasks"]
    with stub_server(lambda _: Reply(200, {"tasks": []})) as (url, _):
        assert LabelStudio(url, TOKEN).task_data(1, 7) == {}
