"""The README tells the truth about settings, commands and files."""

import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from pt4al_backend.pretext import PRETEXTS
from pt4al_backend.settings import ProjectSettings, Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()

SETTINGS = [
    *((field.alias or f"PT4AL_{name.upper()}", field) for name, field in Settings.model_fields.items()),
    *ProjectSettings.model_fields.items(),
]


@pytest.mark.parametrize(("name", "field"), SETTINGS, ids=[name for name, _ in SETTINGS])
def test_every_setting_is_in_its_table_with_its_default_and_meaning(name: str, field: FieldInfo) -> None:
    rows = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1
    _, _, default, meaning, *_ = (cell.strip() for cell in rows[0].split("|"))
    assert default == (
        "" if field.default in (None, "") else f"`{field.default}`".replace("False", "false").replace("True", "true")
    )
    assert meaning.startswith(str(field.description))


def test_the_pretext_tasks_are_named_where_one_is_set() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `pretext` |"))
    assert set(re.findall(r"`(\w+)`", row.partition(" for segmentation. ")[2])) == set(PRETEXTS)


def test_no_table_names_a_setting_that_is_gone() -> None:
    section = README[README.index("## Settings") : README.index("## Honest results")]
    named = re.findall(r"^\| `([A-Za-z_0-9]+)` \|", section, re.MULTILINE)
    assert set(named) == {name for name, _ in SETTINGS}


def test_every_file_that_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_every_make_target_that_it_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.findall(r"\b[A-Z]+_(?:HERE|PLACEHOLDER)\b|\bTODO\b", README)
