"""Commands on connected projects: what they show and what they refuse."""

import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.ranked_rest import Entry, Heading, Rest, write
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.errors import ConfigError
from pt4al_backend.measures import Control
from pt4al_backend.ops.terminal import out
from pt4al_backend.phases import Phase
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.progress import Progress
from pt4al_backend.state.annotations import Annotated
from pt4al_backend.state.lease import locked
from pt4al_backend.state.paths import refill_lease, rest_dir
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind, Pick, Project, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.images import LABEL_CONFIG
from tests.support.servers import wait_until


@pytest.mark.parametrize("command", ["status", "doctor", "train", "pause", "resume", "refill", "forget"])
@pytest.mark.parametrize("number", ["0", str(2**63), "9" * 23])
def test_number_that_no_project_can_have_is_refused(run: Any, command: str, number: str) -> None:
    result = run(command, number)
    assert result.exit_code == 2
    assert "invalid value for 'project'" in result.output.lower()


@pytest.mark.parametrize("command", ["status", "train", "pause", "resume", "refill", "forget"])
def test_unknown_project_is_refused_alike_by_every_command(run: Any, store: Store, command: str) -> None:
    result = run(command, "9")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Project 9 is not connected to this backend. ")


@pytest.fixture
def store(settings: ServerSettings) -> Store:
    """A state with one project in round 2, of which one pick of two is answered."""
    store = Store.open(settings)
    progress = Progress(Phase.TRAINING, 3, 15, 120, 1797, eta=95.2)
    store.connect(7, title="Kittens", phase="training", progress=progress)
    store.put_tasks(7, [{"id": number, "image": f"{number}.png", "problem": ""} for number in range(1, 31)])
    store.open_round(7, Round(project_id=7, number=1, state=RoundState.OPEN), [])
    picks = [
        Pick(project_id=7, round=2, task_id=task, position=task, kind=PickKind(kind), score=0.1)
        for task, kind in ((1, "query"), (2, "control"))
    ]
    control = Control(metric="accuracy", total=10, value=0.9, low=0.596, high=0.982)
    store.open_round(7, Round(project_id=7, number=2, state=RoundState.OPEN), picks, closed=ClosedRound(40, control=control))
    store.put_answers(7, {1: StoredAnswer(AnswerKind.LABEL, "cat")})
    return store


def test_status_shows_where_each_project_stands(run: Any, store: Store) -> None:
    store.connect(8, title="Puppies", error="Label Studio refuses the token.", remedy="Set another.")
    store.notice(8, "pretext", "The images have no upright sense.")
    shown = run("status").output
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in shown.splitlines() if "│" in line]
    first = next(place for place, row in enumerate(rows) if "Kittens" in row[0])
    columns = zip(*rows[first : first + 3], strict=True)
    project, phase, number, labels, measured = (" ".join(filter(None, cells)) for cells in columns)
    assert (project, number, labels) == ("7 Kittens", "2", "1 in 1 missing 0 today")
    assert phase == "Training the model epoch 3 of 15, 120 of 1,797 1:35 left"
    assert measured == "accuracy 90.0% (59.6% to 98.2%) 10 picks"
    assert "Label Studio refuses the token. Set another." in shown
    assert "The images have no upright sense." in shown


def test_status_fits_into_a_terminal_of_80_characters(run: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "width", 80)
    store.change(7, title="All the kittens and a-title-without-a-blank-that-is-long", phase=Phase.WAITING_FOR_DEVICE)
    store.connect(8, title="Puppies")
    shown = run("status", "7").output
    for whole in ("kittens", "another", "epoch 3 of 15", "1:35 left", "1 missing", "accuracy 90.0%", "(59.6% to 98.2%)", "0 %"):
        assert whole in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    assert shown.count("●") == 1  # where the curve's last model stands


def test_title_and_error_cannot_command_the_terminal(run: Any, store: Store) -> None:
    store.change(7, title="\x1b]0;owned\x07", error="\x1b[2Jgone", remedy="\x1b[31m")
    store.notice(7, "encoder", "\x1b[5mblinking")
    shown = run("status", "7").output
    assert "\x1b" not in shown
    assert "owned" in shown


def test_status_of_one_project_shows_its_curve_and_its_annotators(run: Any, store: Store) -> None:
    store.put_annotations(7, {1: [Annotated(1, 4, int(time.time()), False)], 2: [Annotated(2, 4, int(time.time()), True)]})
    shown = run("status", "7").output
    assert "Learning curve" in shown
    assert "by 10 control picks" in shown
    rows = [[cell.strip() for cell in re.split("[│┃]", line)] for line in shown.splitlines()]
    in_all, skipped = next(row for row in rows if "user 4" in row)[4:6]
    assert (in_all, skipped) == ("1", "1")


def test_status_of_one_project_leaves_out_the_others(run: Any, store: Store) -> None:
    store.connect(8, title="Puppies")
    assert "Puppies" in run("status").output
    shown = run("status", "7").output
    assert "Kittens" in shown
    assert "Puppies" not in shown
    refused = run("status", "9")
    assert refused.exit_code == 1
    assert "Project 9 is not connected" in refused.stderr


def test_status_without_a_project_says_how_to_connect_one(run: Any) -> None:
    assert "Settings > Model" in run("status").output


def test_status_watch_shows_changes_until_interrupted(store: Store, settings: ServerSettings) -> None:
    command = [sys.executable, "-m", "pt4al_backend", "status", "--watch"]
    environment = {"PT4AL_DATA_DIR": str(settings.data_dir), "COLUMNS": "250", "FORCE_COLOR": "1"}
    with (settings.data_dir / "shown").open("wb") as file:
        # a shell that runs the tests in the background lets them ignore Ctrl-C, and what they start as well
        take_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, stdout=file, env=environment, preexec_fn=take_interrupts)
    try:
        wait_until(lambda: "Training the model" in (settings.data_dir / "shown").read_text(), 60, "the phase is shown")
        store.change(7, phase="labelling")
        wait_until(lambda: "Waiting for labels" in (settings.data_dir / "shown").read_text(), 60, "the new phase is shown")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_train_asks_a_worker(run: Any, store: Store, settings: ServerSettings) -> None:
    result = run("train", "7")
    assert result.exit_code == 0
    assert "7" in result.output
    assert WorkQueue(settings).waiting() == 1
    project = store.project(7)
    assert project is not None
    assert project.trainings_requested == 1


def test_project_is_paused_and_resumed(run: Any, store: Store, settings: ServerSettings) -> None:
    assert "nothing is published or trained" in " ".join(run("pause", "7").output.split())
    assert "Paused" in run("status").output
    assert WorkQueue(settings).waiting() == 1
    assert "goes on" in run("resume", "7").output
    assert "Paused" not in run("status").output
    assert [(each.who, each.what) for each in store.actions(7, 9)] == [
        ("the command line", "resume"),
        ("the command line", "pause"),
    ]


def test_train_of_an_unknown_project_names_the_connected_ones(run: Any, store: Store, settings: ServerSettings) -> None:
    result = run("train", "9")
    assert result.exit_code == 1
    assert "9" in result.stderr
    assert "7" in result.stderr
    assert WorkQueue(settings).waiting() == 0


def test_train_without_any_project_says_so(run: Any) -> None:
    result = run("train", "9")
    assert result.exit_code == 1
    assert "Project 9 is not connected to this backend. No project has connected yet." in result.stderr


def test_forget_asks_first_and_deletes_the_project(run: Any, store: Store) -> None:
    assert run("forget", "7").exit_code == 1  # nobody answers
    assert store.project_ids() == [7]
    result = run("forget", "7", "--yes")
    assert result.exit_code == 0
    assert "Project 7 is forgotten." in result.output
    assert store.project_ids() == []


def test_forget_of_a_project_that_a_worker_is_at_is_refused(run: Any, store: Store) -> None:
    with store.lease(7):
        result = run("forget", "7", "--yes")
    assert result.exit_code == 1
    assert "Settings > Model" in result.stderr
    assert store.project_ids() == [7]


def test_refill_of_a_project_without_a_rest_says_where_one_comes_from(
    run: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "a" * 40)
    store.connect(7, label_config=LABEL_CONFIG)
    result = run("refill", "7")
    assert result.exit_code == 1
    assert "The project has no ranked rest." in result.stderr
    assert "--take" in result.stderr


@pytest.mark.parametrize("text", ['[{"data": {}}]', "", '{"kind": "pt4al ranked rest", "version": 2}'])
def test_refill_from_another_file_is_refused(run: Any, store: Store, tmp_path: Path, text: str) -> None:
    (tmp_path / "tasks.json").write_text(text)
    for name, reason in (("tasks.json", "is no ranked rest"), ("nowhere.jsonl", "cannot be read")):
        result = run("refill", "7", "--rest", str(tmp_path / name))
        assert result.exit_code == 1
        assert reason in result.stderr
        assert "tasks.rest.jsonl" in result.stderr


def test_ranked_rest_is_not_replaced_while_a_refill_takes_from_it(
    run: Any, store: Store, tmp_path: Path, settings: ServerSettings
) -> None:
    heading = Heading(root="", prefix=None, presign=None, task="classification", stored=(32, 32))
    rest = tmp_path / "tasks.rest.jsonl"
    write(rest, heading, [Entry("1.png", "1" * 64, {})])
    with locked(refill_lease(settings, 7)):
        result = run("refill", "7", "--rest", str(rest))
    assert result.exit_code == 1
    assert "is being refilled" in result.stderr
    assert Rest(rest_dir(settings, Project(id=7))).left == 0


def test_damaged_ranked_rest_says_how_it_is_put_right(tmp_path: Path) -> None:
    heading = Heading(root="", prefix=None, presign=None, task="classification", stored=(32, 32))
    write(tmp_path / "tasks.rest.jsonl", heading, [])
    with (tmp_path / "tasks.rest.jsonl").open("a") as file:
        file.write('{"name": "1.png"}\n')
    rest = Rest(tmp_path / "rest")
    rest.give(tmp_path / "tasks.rest.jsonl")
    with pytest.raises(ConfigError, match="damaged"):
        rest.next(1)
