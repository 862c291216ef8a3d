"""The pages for people."""

import re

import pytest

from pt4al_backend.measures import ClassMeasured, Control
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.store import Store
from tests.support.bodies import setup
from tests.support.rounds import PROJECT, add_tasks, open_round, pick
from tests.support.web_client import Client

HOSTILE = '<script>alert("x")</script>'


def test_root_is_a_page_for_browsers_and_a_probe_for_programs(client: Client) -> None:
    assert client.get("/").json() == {"status": "UP"}
    assert "No project is connected yet" in client.page("/").text
    client.post("/setup", json=setup())
    assert 'href="/projects/3"' in client.page("/").text


@pytest.fixture
def shown(client: Client, store: Store) -> str:
    open_round(store, pick(1), pick(2, "control"))
    add_tasks(store, 1, 2, 3)
    measured = Control(metric="accuracy", total=4, value=0.75, low=0.3006, high=0.9544)
    open_round(store, pick(3, round_number=2), number=2, closed=ClosedRound(2, control=measured))
    store.set_tasks(PROJECT, {"id": [2], "problem": [HOSTILE]})
    progress = Progress(Phase.TRAINING, 3, 10, 1, 2, eta=150)
    store.change(PROJECT, title=HOSTILE, phase="training", progress=progress, error=HOSTILE, remedy="Set it right.", error_at=1.0)
    store.notice(PROJECT, "pretext", HOSTILE)
    return client.page("/projects/3").text


def test_page_shows_the_status(shown: str) -> None:
    text = " ".join(shown.split())
    for words in ("epoch 3 of 10", "about 2 min left", 'value="25.0"', "75.0 %", "30.1 % to 95.4 %", "4 picks", "Set it right."):
        assert words in text
    assert "1 task has an image or an annotation that cannot be used" in text


def test_page_shows_the_measures_of_several_choices(client: Client, store: Store) -> None:
    open_round(store, pick(1))
    there = ClassMeasured(value=0.5, low=0.25, high=0.75)
    classes = {"cat": there, HOSTILE: ClassMeasured(), "owl": ClassMeasured()}
    measured = Control(metric="mAP", total=8, value=0.625, low=0.5, high=0.75, exact_match=there, classes=classes)
    open_round(store, pick(3, round_number=2), number=2, closed=ClosedRound(2, control=measured))
    text = " ".join(client.page("/projects/3").text.split())
    assert "mAP on control picks" in text
    assert "62.5 %" in text
    assert "Exact match on control picks" in text
    assert "Average precision on control picks" in text
    assert "No control pick has 2 of the classes: the mean is over the others." in text
    assert HOSTILE not in text


def test_foreign_text_is_escaped(shown: str) -> None:
    assert shown.count("&lt;script&gt;alert") == 5
    assert HOSTILE not in shown


def test_page_loads_and_runs_nothing_but_its_own(client: Client, shown: str) -> None:
    policy = client.page("/projects/3").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'(?:src|href)="(?:https?:)?//', shown)
    empty_style = r'<style id="[\w.-]+" nonce="[\w-]+"></style>'  # takes the chart library's rules, or keeps them out
    assert not re.search(rf"<script(?![^>]* src=)|(?!{empty_style})<style|\son\w+=|\sstyle=", shown)


def test_files_of_the_page_are_kept_until_they_change(client: Client, shown: str) -> None:
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', shown)
    assert {address.partition("?")[0] for address in addresses} == {"/static/page.css", "/static/page.js", "/static/overview.js"}
    for address in addresses:
        assert "immutable" in client.get(address).headers["Cache-Control"]
        assert client.get(address.partition("?")[0]).headers["Cache-Control"] == "no-cache"


def test_charts_library_comes_from_the_backend(client: Client) -> None:
    answer = client.get("/static/plotly.min.js")
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert "plotly.js" in answer.text[:100]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2e%2e", "__init__.py", ".js"])
def test_no_other_file_is_served(client: Client, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_refreshed_part_equals_the_page_s(client: Client, shown: str) -> None:
    part = client.get("/projects/3/status").text
    assert "<html" not in part
    assert part.strip() in shown


@pytest.mark.parametrize("phase", ["connected", "fetching images", "exhausted", "something new"])
def test_every_phase_can_be_shown(client: Client, store: Store, phase: str) -> None:
    client.post("/setup", json=setup())
    store.change(PROJECT, phase=phase, progress=Progress(done=7))
    assert client.page("/projects/3").status_code == 200


def test_project_can_be_forgotten_from_its_page(client: Client, shown: str) -> None:
    page = client.page("/projects/3/act").text
    assert "Forget this project" in page
    assert "Remove the backend in Label Studio first" in page
    for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.post("/api/projects/3/forget", headers=headers).status_code == 403
    assert client.get("/api/projects/3").status_code == 200
    assert client.post("/api/projects/3/forget", headers={"Origin": "http://backend"}).json() == {"project": 3, "set_back": ""}
    assert client.get("/api/projects/3").status_code == 404
    assert client.post("/api/projects/3/forget").status_code == 404


def test_project_that_a_worker_is_at_is_not_forgotten(client: Client, shown: str, store: Store) -> None:
    with store.lease(3):
        answer = client.post("/api/projects/3/forget")
    assert answer.status_code == 409
    assert "Settings > Model" in answer.json()["remedy"]


def test_page_of_a_project_that_was_let_go_says_how_to_connect_it_again(client: Client, store: Store) -> None:
    client.post("/setup", json=setup())
    store.let_go(3, let_go_at=1.0, phase="not connected", notices={"connection": "To connect it again, add this backend."})
    text = client.page("/projects/3").text
    assert "Not connected any more" in text
    assert "To connect it again, add this backend." in text
    assert "Remove the backend in Label Studio first" not in client.page("/projects/3/act").text
