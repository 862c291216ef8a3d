"""The ranked rest that a project was given: what is taken of it stays taken, until another one is given."""

from pathlib import Path

import pytest

from pt4al_backend.engine.ranked_rest import Entry, Heading, Rest, write

HEADING = Heading(root="s3://lake", prefix=None, presign=None, task="classification", stored=(32, 32))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Five images, best first."""
    write(tmp_path / "tasks.rest.jsonl", HEADING, [Entry(f"s3://lake/{number}.png", str(number), {}) for number in range(5)])
    return tmp_path / "tasks.rest.jsonl"


def test_same_file_given_once_more_goes_on_where_it_was(file: Path, tmp_path: Path) -> None:
    rest = Rest(tmp_path / "rest")
    rest.give(file)
    rest.take(2)
    rest.give(file)
    assert rest.left == 3
    assert rest.next(1)[0].name == "s3://lake/2.png"


def test_another_file_replaces_the_one_that_was_given(file: Path, tmp_path: Path) -> None:
    rest = Rest(tmp_path / "rest")
    rest.give(file)
    rest.take(2)
    write(file, HEADING, [Entry("s3://lake/new.png", "new", {})])
    rest.give(file)
    assert [each.name for each in rest.next(9)] == ["s3://lake/new.png"]
