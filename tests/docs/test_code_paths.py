"""What the pages say of the code's layout is its layout."""

import re
import tomllib

import pytest

from pt4al_backend.config.catalog import PRETEXTS, STRATEGIES, Catalog
from tests.support.pages import DOCS, ROOT, Page, pages

PACKAGE = ROOT / "pt4al_backend"
ARCHITECTURE = Page(DOCS / "how-it-works.md")
PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


@PAGES
def test_code_paths_in_the_prose_exist(page: Page) -> None:
    for code in page.inline():
        if re.match(r"(pt4al_backend|tests|docker|plugin|docs)/[\w./-]+$", code) and "NAME" not in code:
            assert (ROOT / code).exists() or code == "docker/.env", code


def test_diagram_shows_the_layers_that_the_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    (diagram,) = (block for block in ARCHITECTURE.blocks("mermaid") if block.startswith("flowchart TB"))
    shown = [label.split(" · ") for label in re.findall(r"\[(.+?)\]", diagram)]
    assert [set(each) for each in shown] == [set(re.split(r" [|:] ", layer)) for layer in layers]


def test_table_describes_every_package_of_the_code() -> None:
    rows = re.findall(r"^\| (`.+?/`) \|", ARCHITECTURE.text, re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`(\w+)/`", row)}
    assert described == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_pages_that_the_code_names_exist() -> None:
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text()):
            assert (ROOT / name).is_file(), f"{path.name}: {name}"


@pytest.mark.parametrize("catalog", [STRATEGIES, PRETEXTS], ids=lambda catalog: catalog.kind)
def test_every_strategy_and_pretext_task_is_described(catalog: Catalog) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "strategies.md").read_text(), re.MULTILINE)
    assert set(catalog) <= set(rows)
