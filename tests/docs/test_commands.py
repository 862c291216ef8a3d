"""Every command, environment variable and setting that the pages show exists."""

import json
import re
import shlex
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from typer.main import get_command

from pt4al_backend.bench.arms import Arm
from pt4al_backend.bench.experiments import EXPERIMENTS
from pt4al_backend.cli import app
from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings
from tests.support.pages import ROOT, Page, commands_of, pages

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
MAKEFILE = (ROOT / "Makefile").read_text()


def inline_commands(page: Page, program: str) -> list[list[str]]:
    """What stands in backticks and begins with the program's name."""
    return [words for code in page.inline() if code.split()[0] == program for words in commands_of(code)]


@PAGES
def test_make_targets_and_their_variables_exist(page: Page) -> None:
    shown = [*page.commands(), *inline_commands(page, "make")]
    for _, *words in (command for command in shown if command[0] == "make"):
        for word in words:
            name, is_variable, _ = word.partition("=")
            assert re.search(rf"^{name} \?=" if is_variable else rf"^{name}:", MAKEFILE, re.MULTILINE), word


def check(words: Sequence[str], *, whole: bool) -> None:
    """Parses a command line by the app; ``whole`` is False where a page only names the command, without its arguments."""
    command: Any = get_command(app)
    arguments = list(words)
    path = ["pt4al"]
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        assert name in command.commands, words
        command = command.commands[name]
        path.append(name)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option.partition("=")[0] in {*known, "--help"}, words
    if whole and not hasattr(command, "commands"):
        command.make_context(" ".join(path), arguments)  # raises where a value is missing or not allowed


@PAGES
def test_pt4al_commands_can_be_parsed(page: Page) -> None:
    for words in (command for command in page.commands() if command[0] == "pt4al"):
        check(words[1:], whole=True)
    for words in inline_commands(page, "pt4al"):
        check(words[1:], whole=False)


def test_unknown_commands_and_options_would_be_noticed() -> None:
    for line in ("pt4al strat", "pt4al bench mian out", "pt4al doctor --projects 3"):
        with pytest.raises(AssertionError):
            check(shlex.split(line)[1:], whole=False)


@PAGES
def test_arms_and_settings_of_benchmark_commands_are_allowed(page: Page) -> None:
    for words in page.commands():
        pairs = list(pairwise(words))
        for option, value in pairs if words[:2] == ["pt4al", "bench"] else []:
            if option == "--arm" and words[2] == "run":
                Arm.parse(value).options()
            if option == "--settings":
                project_settings(json.loads(value))
            if option == "--only":
                _, arms = EXPERIMENTS[words[2]].planned("honest", EXPERIMENTS[words[2]].dataset, {})
                assert value in {arm.name for arm in arms}, words


@PAGES
def test_settings_in_the_prose_are_allowed(page: Page) -> None:
    for code in page.inline():
        if code.startswith('{"'):
            project_settings(json.loads(code))


@PAGES
def test_environment_variables_of_the_backend_exist(page: Page) -> None:
    known = {field.alias or f"PT4AL_{name.upper()}" for name, field in ServerSettings.model_fields.items()}
    known |= {f"PT4AL_{name.upper()}" for name in ProjectSettings.model_fields}
    assert set(re.findall(r"\b(?:PT4AL|BASIC_AUTH)_[A-Z0-9_]+", page.text)) <= known


@PAGES
def test_files_that_commands_name_exist(page: Page) -> None:
    for words in page.commands():
        for option, value in pairwise(words):
            if option in {"-f", "--file"} and words[0] == "docker":
                assert (ROOT / value).is_file(), value


@PAGES
def test_extras_that_pages_install_exist(page: Page) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for names in re.findall(r"\.\[([\w,-]+)\]", page.text):
        assert set(names.split(",")) <= extras.keys(), names
