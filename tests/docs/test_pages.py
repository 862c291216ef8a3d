"""Every page is short, says where to read on, and has nothing left to fill in."""

import configparser
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from tests.support.pages import DOCS, ROOT, Page, pages

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def test_readme_has_150_lines_at_most() -> None:
    assert Page(ROOT / "README.md").lines <= 150


@PAGES
def test_page_has_fewer_than_200_lines(page: Page) -> None:
    assert page.lines < 200


@PAGES
def test_links_lead_to_files_and_headings_that_exist(page: Page) -> None:
    for link in page.links():
        if re.match(r"[a-z]+:", link):
            continue  # another host
        path, _, anchor = unquote(link).partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in Page(target).anchors(), link


@PAGES
def test_page_has_nothing_left_to_fill_in(page: Page) -> None:
    assert not re.findall(r"\b[A-Z]+_(?:HERE|PLACEHOLDER)\b|\bTODO\b|\bFIXME\b", page.text)


@PAGES
def test_data_that_a_page_shows_can_be_parsed(page: Page) -> None:
    for block in page.blocks("json"):
        json.loads(block)
    for block in page.blocks("yaml"):
        assert all(isinstance(each, dict) for each in yaml.safe_load_all(block))
    for block in page.blocks("ini"):
        configparser.ConfigParser(strict=False).read_string(block)


def test_index_links_to_every_page_of_the_documentation() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in Page(index).links()}
    linked |= {(DOCS / link.partition("#")[0]).resolve() for link in Page(DOCS / "results.md").links()}
    assert set(DOCS.rglob("*.md")) - linked == {index}


def test_glossary_is_alphabetical() -> None:
    terms = re.findall(r"^\| ([a-z][\w -]*) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert terms == sorted(terms)
    assert len(terms) > 20


def test_images_of_the_pages_are_all_used() -> None:
    shown = {Path(link).name for page in pages() for link in page.links() if link.endswith(".png")}
    assert {path.name for path in (DOCS / "images").glob("*.png")} == shown
