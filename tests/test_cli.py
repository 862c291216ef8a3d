"""The command line: its output and its errors."""

import re
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from pt4al_backend import cli
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.config.catalog import FIRST_QUERIES, MAIN_TASKS, PRETEXTS, STRATEGIES
from pt4al_backend.demo.servers import free_port
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.measures import Control
from pt4al_backend.ops import terminal
from pt4al_backend.phases import Phase
from pt4al_backend.picks import PickKind
from pt4al_backend.progress import Progress
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind, Pick, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.servers import wait_until
from tests.support.stub_server import stub_server

COMMANDS = ("start", "web", "worker", "status", "doctor", "list", "train", "forget", "rank", "demo")


@pytest.fixture
def run(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command on the test's own state; the terminal is wide enough that no table breaks a line."""
    monkeypatch.setenv("PT4AL_DATA_DIR", str(settings.data_dir))
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "width", 250)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, arguments)

    return invoke


@pytest.mark.parametrize("command", ["status", "doctor", "train"])
def test_misspelt_variable_is_named_with_the_right_one(run: Any, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("PT4AL_QUERRY_SIZE", "100")
    shown = run(command, *(["3"] if command == "train" else [])).output
    assert shown.count("PT4AL_QUERRY_SIZE is no setting") == 1
    assert "PT4AL_QUERY_SIZE?" in shown


def test_help_lists_every_command(run: Any) -> None:
    shown = run("--help").output
    assert all(re.search(rf"\b{command}\b", shown) for command in COMMANDS)


def test_help_shows_examples_completion_and_its_own_name(run: Any) -> None:
    shown = run("--help").output
    assert "pt4al rank photos/ --out tasks.json" in shown
    assert "--install-completion" in shown
    module = subprocess.run([sys.executable, "-m", "pt4al_backend", "web", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: pt4al web" in module.stdout


def test_help_of_rank_shows_what_options_default_to(run: Any) -> None:
    shown = " ".join(run("rank", "--help").output.replace("│", " ").split())
    for setting in ("pretext_epochs", "first_query", "seed"):
        assert f"[default: (PT4AL_{setting.upper()}, else {ProjectSettings.model_fields[setting].default})]" in shown
    assert set(FIRST_QUERIES) <= set(re.findall(r"\w+", shown.partition("--first-query")[2].partition("--seed")[0]))


def test_help_needs_neither_torch_nor_a_database() -> None:
    code = "import sys, pt4al_backend.cli; print({'torch', 'sqlalchemy', 'fastapi', 'requests'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize("command", [["start"], ["web"], ["worker"], ["status"], ["doctor"], ["train", "1"]])
def test_wrong_setting_is_one_line_that_says_what_to_change(
    run: Any, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PT4AL_POLL_SECONDS", "-1")
    result = run(*command)
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "poll_seconds" in result.stderr.lower()
    assert "environment" in result.stderr


@pytest.mark.parametrize("command", ["start", "web", "worker", "status", "train 1", "forget 1"])
def test_wrong_setting_of_all_projects_is_one_line_that_names_its_variable(
    run: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("pt4al_query_size", "abc")
    result = run(*command.split())
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert "'pt4al_query_size': 'abc' is not allowed" in line
    assert line.endswith("Change it in the environment.")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("foo", "redis://"), ("http://127.0.0.1", "redis://"), ("redis://user:a-secret/word@127.0.0.1:6379", "%2F")],
)
@pytest.mark.parametrize("command", ["start", "status", "doctor"])
def test_url_that_is_none_of_redis_is_refused_without_showing_it(
    run: Any, command: str, url: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PT4AL_REDIS_URL", url)
    result = run(command)
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert "PT4AL_REDIS_URL" in line
    assert allowed in line
    assert "a-secret" not in line


@pytest.mark.parametrize("command", ["status", "doctor", "train", "forget"])
@pytest.mark.parametrize("number", ["0", str(2**63), "9" * 23])
def test_number_that_no_project_can_have_is_refused(run: Any, command: str, number: str) -> None:
    result = run(command, number)
    assert result.exit_code == 2
    assert "invalid value for 'project'" in result.output.lower()


@pytest.mark.parametrize("command", ["status", "train", "forget"])
def test_unknown_project_is_refused_alike_by_every_command(run: Any, store: Store, command: str) -> None:
    result = run(command, "9")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Project 9 is not connected to this backend. ")


@pytest.mark.parametrize("command", ["start", "web", "worker", "status", "train 1", "rank"])
def test_data_folder_that_cannot_be_made_is_one_line_that_names_it(
    run: Any, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PT4AL_DATA_DIR", str(tmp_path / "file" / "data"))
    monkeypatch.setenv("PT4AL_PORT", str(free_port()))
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    given = ["rank", str(tmp_path), "--out", str(tmp_path / "tasks.json")] if command == "rank" else command.split()
    result = run(*given)
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert str(tmp_path / "file") in result.stderr
    assert "PT4AL_DATA_DIR" in result.stderr


def test_error_shows_no_secret(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "a-secret-token")
    result = run("status")
    assert result.exit_code == 1
    assert "LABEL_STUDIO_URL" in result.stderr
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    monkeypatch.setenv("PT4AL_DATABASE_URL", "postgresql+psycopg://pt4al:a-secret-token@127.0.0.1:1/pt4al?connect_timeout=2")
    result = run("status")
    assert result.exit_code == 1
    assert "PT4AL_DATABASE_URL" in result.stderr
    assert "a-secret-token" not in result.output


def test_port_in_use_is_one_line_that_says_what_to_change(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with stub_server(lambda request: pytest.fail("no request is expected")) as (url, _):
        monkeypatch.setenv("PT4AL_PORT", url.rpartition(":")[2])
        result = run("web")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "PT4AL_PORT" in result.stderr


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_url_of_postgresql_uses_the_driver_that_the_extra_installs(
    run: Any, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("PT4AL_DATABASE_URL", f"{scheme}://{postgresql_url.partition('://')[2]}")
    result = run("status")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", ["status", "doctor", "train 7", "worker"])
def test_missing_database_driver_is_named_with_its_extra(run: Any, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setenv("PT4AL_DATABASE_URL", "postgresql://pt4al:a-secret-word@127.0.0.1:1/pt4al")
    result = run(*command.split())
    assert result.exit_code == 1
    assert "driver, psycopg, is not installed" in result.output + result.stderr
    assert "pt4al-backend[postgresql]" in result.output + result.stderr
    assert "a-secret-word" not in result.output + result.stderr


def test_database_of_another_kind_is_refused_with_what_is_allowed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_DATABASE_URL", "mysql://pt4al:a-secret-word@127.0.0.1/pt4al")
    result = run("status")
    assert result.exit_code == 1
    assert "postgresql://" in result.stderr
    assert "a-secret-word" not in result.stderr


def test_state_of_a_newer_version_is_refused_with_a_remedy(run: Any, store: Store, settings: ServerSettings) -> None:
    with sqlite3.connect(settings.data_dir / "state.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from-the-future'")
    connection.close()
    result = run("status")
    assert result.exit_code == 1
    assert "another version" in result.stderr
    assert "backup" in result.stderr


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
    store.open_round(7, Round(project_id=7, number=2, state=RoundState.OPEN), picks, closed=ClosedRound(0, control=control))
    store.put_answers(7, {1: StoredAnswer(AnswerKind.LABEL, "cat")})
    return store


def test_status_shows_where_each_project_stands(run: Any, store: Store) -> None:
    store.connect(8, title="Puppies", error="Label Studio refuses the token.", remedy="Set another.")
    store.notice(8, "pretext", "The images have no upright sense.")
    shown = run("status").output
    kittens = next(line for line in shown.splitlines() if "Kittens" in line)
    for part in ("Training the model", "epoch 3 of 15", "120 of 1,797", "1:35", "90.0% (59.6% to 98.2%, 10 picks)"):
        assert part in kittens
    cells = [cell.strip() for cell in re.split("[│┃]", kittens)]
    assert cells[5:8] == ["2", "1", "1"]  # round, labels in, missing
    assert "Label Studio refuses the token. Set another." in shown
    assert "The images have no upright sense." in shown


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


def test_list_prints_every_name_that_settings_may_take(run: Any) -> None:
    shown = run("list").output
    for name in (*STRATEGIES, *PRETEXTS, *MAIN_TASKS):
        line = next(line for line in shown.splitlines() if f" {name} " in line)
        assert len(line.split("│")[3].strip()) > 10


def test_demo_passes_on_its_options(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "pt4al_backend.demo.show", SimpleNamespace(run=lambda **options: passed.update(options)))
    result = run(
        *("demo", "--task", "segmentation", "--images", "photos", "--masks", "masks", "--rounds", "2", "--no-stay"),
        *("--folder", "d", "--label-studio", "bin/label-studio"),
    )
    assert result.exit_code == 0, result.output
    assert passed == {
        "task": "segmentation",
        "images": Path("photos"),
        "masks": Path("masks"),
        "rounds": 2,
        "stay": False,
        "folder": Path("d"),
        "label_studio": Path("bin/label-studio"),
    }


def test_version_is_printed(run: Any) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("--version").output)
