"""The command line: its help."""

import re
import subprocess
import sys
from typing import Any

from pt4al_backend.config.catalog import FIRST_QUERIES

COMMANDS = (
    "start",
    "web",
    "worker",
    "status",
    "doctor",
    "list",
    "train",
    "pause",
    "resume",
    "forget",
    "rank",
    "demo",
    "bench",
    "weights",
)


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
    defaults = {"pretext_epochs": 15, "first_query": "stratified", "seed": 0}
    for setting, default in defaults.items():
        assert f"[default: (PT4AL_{setting.upper()}, else {default})]" in shown
    assert set(FIRST_QUERIES) <= set(re.findall(r"\w+", shown.partition("--first-query")[2].partition("--seed")[0]))


def test_help_needs_neither_torch_nor_a_database() -> None:
    code = "import sys, pt4al_backend.cli; print({'torch', 'sqlalchemy', 'fastapi', 'requests'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_version_is_printed(run: Any) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("--version").output)
