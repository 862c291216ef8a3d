"""docs/settings.md is what the fields of the settings say."""

import re

import pytest

from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings
from pt4al_backend.config.catalog import PRETEXTS, STRATEGIES
from pt4al_backend.config.settings_page import page
from pt4al_backend.errors import ConfigError
from pt4al_backend.query.plan import require_fit
from tests.support.pages import DOCS

TEXT = page()
NAMES = [
    *(field.alias or f"PT4AL_{name.upper()}" for name, field in ServerSettings.model_fields.items()),
    *ProjectSettings.model_fields,
]


def row(name: str) -> list[str]:
    (line,) = (line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_page_is_up_to_date() -> None:
    assert (DOCS / "settings.md").read_text() == TEXT, "run `make docs`"


def test_every_setting_has_one_row() -> None:
    rows = re.findall(r"^\| `([A-Za-z_0-9]+)` \|", TEXT[: TEXT.index("## What takes effect when")], re.MULTILINE)
    assert sorted(rows) == sorted(NAMES)


def test_row_shows_default_what_is_allowed_and_meaning() -> None:
    assert row("PT4AL_PORT") == ["`PT4AL_PORT`", "`9090`", "1 to 65,535", "Port that the web process listens on."]
    assert row("warm_start")[1:3] == ["`false`", "`true` or `false`"]
    assert row("learning_rate")[1:3] == ["empty", "empty, more than 0, at most 10"]


def test_registries_are_listed_where_one_of_them_is_set() -> None:
    assert set(re.findall(r"`(\w+)`", row("strategy")[2])) == set(STRATEGIES)
    assert set(re.findall(r"`(\w+)`", row("pretext")[2])) == set(PRETEXTS)


def test_every_first_query_that_is_listed_is_allowed() -> None:
    for value in re.findall(r"`([\w:]+)`", row("first_query")[2]):
        project_settings({"first_query": value.replace("N", "2")})


@pytest.mark.parametrize("task", ["segmentation", "multilabel"])
def test_page_names_what_other_main_tasks_refuse(task: str) -> None:
    refused = set()
    for key, values in (("strategy", STRATEGIES), ("sampler", re.findall(r"`(\w+)`", row("sampler")[2]))):
        for value in values:
            try:
                require_fit(project_settings({key: value}), task)
            except ConfigError:
                refused.add(value)
    (sentence,) = re.findall(r"[^.]*for a single choice only\.", TEXT)
    assert set(re.findall(r"`(\w+)`", sentence)) == refused


@pytest.mark.parametrize("name", ProjectSettings.model_fields)
def test_every_project_setting_has_an_effect_in_the_table(name: str) -> None:
    table = TEXT[TEXT.index("## What takes effect when") :]
    assert f"`{name}`" in table
