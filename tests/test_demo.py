"""The demo's parts that need no Label Studio: its images, its folder, its servers' ends, its annotators, its table."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from PIL import Image
from rich.console import Console

from pt4al_backend.demo import comparison, images
from pt4al_backend.demo.comparison import Row
from pt4al_backend.demo.folder import MARKER, fresh
from pt4al_backend.demo.labelling import Labelling
from pt4al_backend.demo.screen import Screen, duration
from pt4al_backend.demo.servers import Server, ServerFailed, free_port, label_studio, started
from pt4al_backend.errors import ConfigError, PT4ALError, Unreachable
from pt4al_backend.label_studio.label_config import parse
from tests.servers import wait_until

PIXELS = 1_000_000


def save(path: Path, count: int, size: int = 8) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (size, size), (i, i, i)).save(path / f"{i}.png")


# images


def test_the_digits_are_split_by_class_and_no_image_is_on_both_sides(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = images.find(images.digits(tmp_path / "digits"), max_pixels=PIXELS)
    assert found.classes == tuple("0123456789")
    assert len(found.pool) + len(found.test) == 1797
    assert not set(found.pool) & set(found.test)
    for name in found.classes:
        pool = sum(label == name for _, label in found.pool)
        test = sum(label == name for _, label in found.test)
        assert test / (pool + test) == pytest.approx(0.25, abs=0.01)


def test_the_pool_comes_in_an_order_that_does_not_follow_the_classes(tmp_path: Path) -> None:
    save(tmp_path / "cat", 40)
    save(tmp_path / "dog", 40)
    labels = [label for _, label in images.find(tmp_path, max_pixels=PIXELS).pool]
    assert labels != sorted(labels)
    assert labels == [label for _, label in images.find(tmp_path, max_pixels=PIXELS).pool]


def test_a_folder_that_names_its_test_images_is_split_as_it_says(tmp_path: Path) -> None:
    for side, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            save(tmp_path / side / name, count)
    found = images.find(tmp_path, max_pixels=PIXELS)
    assert {path.parent.parent.name for path, _ in found.pool} == {"train"}
    assert {path.parent.parent.name for path, _ in found.test} == {"test"}
    assert (len(found.pool), len(found.test)) == (6, 4)


def test_files_that_cannot_be_decoded_are_left_out_and_named(tmp_path: Path) -> None:
    save(tmp_path / "cat", 8)
    save(tmp_path / "dog", 8)
    (tmp_path / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (tmp_path / "dog" / "notes.txt").write_text("not an image, and not meant to be one")
    found = images.find(tmp_path, max_pixels=PIXELS)
    assert list(found.unreadable) == [tmp_path / "dog" / "broken.jpg"]
    assert len(found.pool) + len(found.test) == 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "There is no folder"),
        (lambda folder: folder.mkdir(), "no images in sub-folders"),
        (lambda folder: save(folder, 3), "no images in sub-folders"),
        (lambda folder: save(folder / "cat", 3), "one class only, 'cat'"),
        (lambda folder: (save(folder / "cat", 3), save(folder / "dog", 1)), "'dog' has no image in the test set"),
        (lambda folder: (save(folder / "cat", 3), save(folder / "big  dog", 3)), "white space"),
        (lambda folder: (save(folder / "train" / "cat", 3), save(folder / "test" / "dog", 3)), "no image in the test set"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_a_reason(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "images")
    with pytest.raises(ConfigError) as refused:
        images.find(tmp_path / "images", max_pixels=PIXELS)
    assert message in refused.value.message
    assert refused.value.remedy


def test_broken_images_are_named_when_they_leave_a_class_empty(tmp_path: Path) -> None:
    save(tmp_path / "cat", 4)
    for name in ("a.png", "b.png"):
        (tmp_path / "dog").mkdir(exist_ok=True)
        (tmp_path / "dog" / name).write_text("no image")
    with pytest.raises(ConfigError) as refused:
        images.find(tmp_path, max_pixels=PIXELS)
    assert str(tmp_path / "dog" / "a.png") in refused.value.remedy


def test_the_labeling_config_asks_for_the_classes_whatever_they_are_called(tmp_path: Path) -> None:
    names = ('<"cat" & dog\'s>', "7", "ä")
    found = images.Images(names, [], [], [])
    assert parse(found.label_config()).labels == names
    assert 'value="7" hotkey="7"' in found.label_config()


# the folder


def test_the_demo_empties_its_own_folder_and_no_other(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    with fresh(own):
        (own / "data").mkdir()
        (own / "data" / "old").touch()
    with fresh(own):
        assert [path.name for path in own.iterdir()] == [MARKER]
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="not the demo's"), fresh(other):
        pass
    assert (other / "thesis.tex").exists()


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with fresh(tmp_path), pytest.raises(ConfigError, match="Another demo"), fresh(tmp_path):
        pass
    with fresh(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"), fresh(tmp_path / "file" / "demo"):
        pass


def test_a_folder_whose_parent_cannot_be_made_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="/proc/x/y") as refused, fresh(Path("/proc/x/y")):
        pass
    assert "--folder" in refused.value.remedy


# the servers


def test_a_port_in_use_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = free_port(port)
        assert other != port
        with socket.create_server(("127.0.0.1", other)):
            pass
    assert free_port(port) == port


def test_no_port_is_given_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = [free_port(port) for _ in range(3)]
    assert len(set(found)) == 3


def test_a_missing_label_studio_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-command"):
        label_studio(Path("no-such-command"), tmp_path, "ada@example.com", "secret")


def test_what_is_meant_for_other_installations_does_not_reach_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pt4al_backend.demo.servers import backend

    monkeypatch.setenv("PT4AL_DATABASE_URL", "postgresql://production")
    monkeypatch.setenv("BASIC_AUTH_USER", "somebody")
    monkeypatch.setenv("PT4AL_SAMPLER", "margin")
    environment = backend(tmp_path, "http://127.0.0.1:8080", "token").environment
    assert "PT4AL_DATABASE_URL" not in environment
    assert "BASIC_AUTH_USER" not in environment
    assert environment["PT4AL_SAMPLER"] == "margin"


LISTENS = r"Listening on (\S+)\.\s"

#: Takes its port late: it goes to another one if that is taken, as Label Studio does, or ends, as the backend does.
LATE = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
try:
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
except OSError:
    if sys.argv[2] == "ends":
        raise
    server = HTTPServer(("127.0.0.1", 0), Handler)
print("Listening on %s:%s." % server.server_address, flush=True)
server.serve_forever()
"""


class Stranger(BaseHTTPRequestHandler):
    """Answers as a server of another installation does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@pytest.mark.parametrize("how", ["ends", "goes elsewhere"])
def test_a_stranger_that_takes_the_port_is_not_taken_for_the_server(tmp_path: Path, how: str) -> None:
    stranger = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=stranger.serve_forever, daemon=True).start()
    ports = iter([stranger.server_port, free_port(9090)])

    def make() -> Server:
        port = next(ports)
        return Server("x", [sys.executable, "-c", LATE, str(port), how], port, tmp_path / "log.txt", os.environ, LISTENS)

    with fresh(tmp_path / "demo") as lock, started(make, lock, lambda _server: None) as server:
        assert server.url != f"http://127.0.0.1:{stranger.server_port}"
        assert requests.get(server.url, timeout=30).status_code == 200
    stranger.shutdown()
    stranger.server_close()


def test_a_server_that_ends_shows_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('the port is taken'); raise SystemExit(7)"]
    server = Server("The server", command, free_port(9090), tmp_path / "log.txt", os.environ, LISTENS)
    with fresh(tmp_path / "demo") as lock, server.running(lock), pytest.raises(ServerFailed) as failed:
        server.wait(lambda: None)
    assert "status 7" in failed.value.message
    assert "the port is taken" in failed.value.remedy


DEMO = """
import os, sys, time
from pathlib import Path
from pt4al_backend.demo.folder import fresh
from pt4al_backend.demo.servers import Server
folder = Path(sys.argv[1])
command = [sys.executable, "-c", sys.argv[2], str(folder / "pids")]
with fresh(folder / "demo") as lock, Server("x", command, 1, folder / "log.txt", os.environ, "").running(lock):
    time.sleep(600)
"""

SERVER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1] + ".new", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_servers_and_what_they_started_end_with_the_demo(tmp_path: Path, how: signal.Signals) -> None:
    demo = subprocess.Popen([sys.executable, "-c", DEMO, str(tmp_path), SERVER])
    try:
        wait_until((tmp_path / "pids").exists, 60, "the server runs")
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
    finally:
        demo.send_signal(how)
        demo.wait(60)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 60, "all have ended")

    def free() -> bool:
        try:
            with fresh(tmp_path / "demo"):
                return True
        except ConfigError:
            return False

    wait_until(free, 60, "the folder is free for the next demo")


# the annotators


class Project:
    """A project as the annotators and the status API see it: the queue of each round in order, then other tasks."""

    def __init__(self, rounds: list[list[int]], controls: int) -> None:
        self._rounds = rounds
        self._controls = controls
        self._is_ranked = False
        self.answers: list[tuple[str, int, str]] = []

    @property
    def done(self) -> list[int]:
        return [task for _, task, _ in self.answers]

    @property
    def number(self) -> int:
        """The open round: the first that is not answered."""
        return next((i for i, asked in enumerate(self._rounds, 1) if set(asked) - set(self.done)), len(self._rounds) + 1)

    def asked(self) -> list[int]:
        asked = self._rounds[self.number - 1] if self.number <= len(self._rounds) else []
        return asked if self._is_ranked else asked[: self._controls]

    def status(self) -> dict[str, Any]:
        number, asked = self.number, self.asked()
        missing = len(set(asked) - set(self.done))
        self._is_ranked = self._is_ranked or not missing  # so the pretext learner is done after the control picks
        exhausted = number > len(self._rounds)
        history = [{"number": i, "state": "closed", "labels": 0, "control": {}} for i in range(1, number)]
        state = "open" if self._is_ranked and missing else "starting"
        return {
            "round": number,
            "phase": "exhausted" if exhausted else "labelling" if self._is_ranked else "pretext",
            "progress": {},
            "eta_seconds": None,
            "labels_in": len(asked) - missing,
            "labels_missing": missing,
            "picks": {
                "query": {"asked": max(len(asked) - self._controls, 0)},
                "control": {"asked": min(self._controls, len(asked))},
            },
            "model_version": "v1",
            "history": [*history, {"number": number, "state": state}],
            "error": None,
        }


class Person:
    """One annotator; a stand-in for a browser session at Label Studio."""

    def __init__(self, project: Project, name: str) -> None:
        self._project = project
        self._name = name

    def next_task(self, project_id: int) -> dict[str, Any] | None:
        left = [task for task in self._project.asked() if task not in self._project.done]
        return {"id": left[0] if left else 999}  # the reserve

    def annotate(self, task_id: int, config: object, label: str) -> int:
        self._project.answers.append((self._name, task_id, label))
        return len(self._project.answers)


def labelling(project: Any, people: Any) -> Labelling:
    labels = {task: str(task % 10) for task in range(1000)}
    config = parse(images.Images(("0", "1"), [], [], []).label_config())
    screen = Screen(Console(file=StringIO()))
    return Labelling(project, people, 1, config, labels, screen, lambda: None)


def test_the_annotators_take_turns_and_answer_each_round_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    project = Project([[5, 3, 17, 21], [8, 2, 44, 6], [9, 1, 7, 4]], controls=1)
    people = {name: Person(project, name) for name in ("Ada", "Ben")}
    closed: list[int] = []
    labelling(project, people).run(2, lambda each: closed.append(each["number"]))
    assert closed == [1, 2]
    assert project.done == [5, 3, 17, 21, 8, 2, 44, 6]
    assert [name for name, _, _ in project.answers] == ["Ada", "Ben"] * 4
    assert all(label == str(task % 10) for _, task, label in project.answers)


def test_the_annotators_stop_when_the_pool_is_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    project = Project([[5, 3], [8, 2]], controls=1)
    found = labelling(project, {"Ada": Person(project, "Ada")}).run(5, lambda _each: None)
    assert [each["number"] for each in found] == [1, 2]


def test_a_backend_that_stays_stuck_ends_the_demo_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 50))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    project = Project([[5, 3]], controls=1)
    stuck = {**project.status(), "labels_missing": 0, "error": {"message": "The disk is full.", "remedy": "Free space."}}
    monkeypatch.setattr(project, "status", lambda: stuck)
    with pytest.raises(PT4ALError, match="The disk is full") as ended:
        labelling(project, {"Ada": Person(project, "Ada")}).run(1, lambda _each: None)
    assert ended.value.remedy == "Free space."


def test_a_backend_that_does_not_answer_for_a_while_does_not_end_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    project = Project([[5, 3, 17, 21]], controls=1)
    status, looks = project.status, iter(range(1_000_000))

    def restarting() -> dict[str, Any]:
        if next(looks) % 3 < 2:
            raise Unreachable("The backend does not tell.")
        return status()

    monkeypatch.setattr(project, "status", restarting)
    closed = labelling(project, {"Ada": Person(project, "Ada")}).run(1, lambda _each: None)
    assert [each["number"] for each in closed] == [1]


def test_a_backend_that_never_answers_again_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 50))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    project = Project([[5, 3]], controls=1)

    def gone() -> dict[str, Any]:
        raise Unreachable("The backend does not tell.")

    monkeypatch.setattr(project, "status", gone)
    with pytest.raises(Unreachable):
        labelling(project, {"Ada": Person(project, "Ada")}).run(1, lambda _each: None)


# the table


def shown(rows: list[Row], tested: int = 450) -> str:
    text = StringIO()
    console = Console(width=80, file=text)
    console.print(comparison.table(rows, tested, "PT4AL"))
    console.print(comparison.caution(rows, tested, "PT4AL"))
    return text.getvalue()


def test_the_table_shows_each_round_and_says_how_little_it_is() -> None:
    control = {"metric": "accuracy", "value": 0.75, "low": 0.41, "high": 0.93, "total": 8}
    text = shown([Row(1, 36, control, 0.604, [0.70, 0.60, 0.65]), Row(2, 72, {}, 0.824, [0.78, 0.80, 0.82])])
    assert "75% of 8, 41% to 93%" in text
    assert "60.4%" in text
    assert "65.0% (60.0 to 70.0)" in text
    assert "3 random draws" in text
    assert "+2.4 points" in text  # 82.4 against the mean of 78, 80 and 82
    assert max(map(len, text.splitlines())) <= 80


def test_a_round_without_a_model_is_shown_as_such() -> None:
    text = shown([Row(1, 4, {})])
    assert "no model" in text
    assert "No model could be compared" in text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (9.6, "0:10"), (61, "1:01"), (754, "12:34"), (3661, "1:01:01")])
def test_durations_read_as_clocks_show_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
