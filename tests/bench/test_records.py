"""Records on disk: what is read, what is left out, and where a run resumes."""

import json
from pathlib import Path

import pytest

from pt4al_backend.bench.records import RECORDS, read, unbroken
from tests.support import runs

#: Whole lines that are no record of a round.
CORRUPT = {
    "cut": b'{"seed": 0, "round": 2, "labels"',
    "no object": b"[1, 2]",
    "no text": b"\x00\xff\xfe",
    "no labels": json.dumps({key: each for key, each in runs.record(0, 2, 20, 0.5).items() if key != "labels"}).encode(),
    "words for a number": json.dumps(runs.record(0, 2, 20, 0.5) | {"labels": "twenty"}).encode(),
    "no number": json.dumps(runs.record(0, 2, 20, float("nan"))).encode(),
    "negative row": json.dumps(runs.record(0, 2, 20, 0.5, query=[*range(10, 19), -1])).encode(),
    "more than all": json.dumps(runs.record(0, 2, 20, 55.0)).encode(),
    "less than nothing": json.dumps(runs.record(0, 2, 20, -0.1)).encode(),
    "seconds before the start": json.dumps(runs.record(0, 2, 20, 0.5, seconds={"train": -1.0})).encode(),
    "another seed": json.dumps(runs.record(1, 2, 20, 0.5)).encode(),
    "the round before, with another value": json.dumps(runs.record(0, 1, 10, 0.9)).encode(),
    "more labels than were asked": json.dumps(runs.record(0, 2, 25, 0.5, query=list(range(10, 20)))).encode(),
    "fewer labels than were asked": json.dumps(runs.record(0, 2, 15, 0.5, query=list(range(10, 20)))).encode(),
    "an image twice": json.dumps(runs.record(0, 2, 20, 0.5, query=[*range(10, 19), 18])).encode(),
    "an image of the round before": json.dumps(runs.record(0, 2, 20, 0.5, query=list(range(9, 19)))).encode(),
    "nothing asked": json.dumps(runs.record(0, 2, 10, 0.5, query=[])).encode(),
}


def replace_line(path: Path, number: int, line: bytes) -> None:
    lines = path.read_bytes().splitlines()
    lines[number] = line
    path.write_bytes(b"\n".join(lines) + b"\n")


@pytest.mark.parametrize("line", CORRUPT.values(), ids=CORRUPT.keys())
def test_corrupt_lines_are_left_out_and_counted(tmp_path: Path, line: bytes) -> None:
    folder = runs.write(tmp_path, {"random": {0: [0.5, 0.6, 0.7], 1: [0.5]}})
    path = folder / "arms" / "random" / "seed-0" / RECORDS
    replace_line(path, 1, line)
    found = read(folder)
    assert [(record.seed, record.round) for record in found.arms["random"]] == [(0, 1), (0, 3), (1, 1)]
    assert found.corrupt == {path: 1}


def test_a_round_that_was_being_written_is_no_corruption(tmp_path: Path) -> None:
    folder = runs.write(tmp_path, {"random": {0: [0.5]}})
    path = folder / "arms" / "random" / "seed-0" / RECORDS
    path.write_bytes(path.read_bytes() + b'{"strategy": "ran')
    found = read(folder)
    assert len(found.arms["random"]) == 1
    assert found.corrupt == {}


def test_run_resumes_before_a_corrupt_round(tmp_path: Path) -> None:
    folder = runs.write(tmp_path, {"random": {0: [0.5, 0.6, 0.7]}})
    path = folder / "arms" / "random" / "seed-0" / RECORDS
    assert [record["round"] for record in unbroken(path)] == [1, 2, 3]
    replace_line(path, 1, CORRUPT["cut"])
    assert unbroken(path) == [runs.record(0, 1, 10, 0.5)]


def test_rounds_behind_one_that_is_left_out_need_room_for_its_labels(tmp_path: Path) -> None:
    for seed, labels in enumerate((30, 20)):
        third = runs.record(seed, 3, labels, 0.7, query=list(range(20, 30)))
        runs.write_rounds(tmp_path, "random", seed, [runs.record(seed, 1, 10, 0.5), third])
    found = read(tmp_path)
    assert [(record.seed, record.round) for record in found.arms["random"]] == [(0, 1), (0, 3), (1, 1)]
    assert list(found.corrupt.values()) == [1]


def test_rows_that_the_pool_lacks_are_corrupt(tmp_path: Path) -> None:
    folder = runs.write(tmp_path, {"random": {0: [0.5, 0.6, 0.7]}})
    path = folder / "arms" / "random" / "seed-0" / RECORDS
    assert [len(read(folder, pool).arms["random"]) for pool in (30, 29)] == [3, 2]
    assert [len(unbroken(path, pool)) for pool in (30, 29)] == [3, 2]
    assert read(folder, 29).corrupt == {path: 1}


def test_a_run_without_a_file_has_no_rounds(tmp_path: Path) -> None:
    assert unbroken(tmp_path / "seed-0" / RECORDS) == []
