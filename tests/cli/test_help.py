"""The command line: its help."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from pt4al_backend.cli import app
from pt4al_backend.config.catalog import FIRST_QUERIES
from tests.support.pages import commands_of

PROGRAM: Any = get_command(app)


def commands_below(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_below(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = [pytest.param(*each, id=" ".join(each[0])) for each in commands_below(PROGRAM)]


def test_help_lists_every_command(run: Any) -> None:
    shown = run("--help").output
    assert all(re.search(rf"\b{name}\b", shown) for name in PROGRAM.commands)


def test_help_shows_examples_completion_and_its_own_name(run: Any) -> None:
    shown = run("--help").output
    assert "pt4al rank photos/ --out tasks.json" in shown
    assert "--install-completion" in shown
    module = subprocess.run([sys.executable, "-m", "pt4al_backend", "web", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: pt4al web" in module.stdout


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_help_of_each_command_shows_examples_that_can_be_typed(path: tuple[str, ...], command: Any) -> None:
    shown = [words for code in re.findall(r"`(pt4al [^`]+)`", command.epilog or "") for words in commands_of(code)]
    own = [words for words in shown if tuple(words[1 : 1 + len(path)]) == path]
    assert own
    for words in own:
        command.make_context(" ".join(path), words[1 + len(path) :])  # raises where a value is missing or not allowed


def test_help_of_rank_shows_what_options_default_to(run: Any) -> None:
    shown = " ".join(run("rank", "--help").output.replace("│", " ").split())
    defaults = {"pretext_epochs": 15, "first_query": "stratified", "seed": 0}
    for setting, default in defaults.items():
        assert f"[default: (PT4AL_{setting.upper()}, else {default})]" in shown
    assert set(FIRST_QUERIES) <= set(re.findall(r"\w+", shown.partition("--first-query")[2].partition("--seed")[0]))


def test_help_needs_neither_torch_nor_a_database() -> None:
    code = "import sys, pt4al_backend.cli; print({'torch', 'sqlalchemy', 'fastapi', 'requests'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_version_is_printed(run: Any) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("--version").output)
