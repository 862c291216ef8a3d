"""Tables as CSV and Parquet."""

import csv
from collections.abc import Iterable
from io import BytesIO, StringIO

import numpy as np
import pytest

from pt4al_backend.engine.exports import Rows
from pt4al_backend.server.tables import Format

PARTS: list[Rows] = [
    {
        "task": np.array([1, 2]),
        "label": ["a, b", None],
        "loss": np.array([0.5, np.nan]),
        "features": np.array([[1, 2], [3, 4]], np.float32),
    },
    {
        "task": np.array([3]),
        "label": ['"quoted"\nline'],
        "loss": np.array([-1.5]),
        "features": np.array([[5, 6]], np.float32),
    },
]


def written(form: Format, parts: Iterable[Rows]) -> bytes:
    return b"".join(form.write(parts))


def read_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(StringIO(content.decode(), newline="")))


def test_csv_has_one_header_and_a_column_for_each_feature() -> None:
    assert read_csv(written(Format.CSV, PARTS)) == [
        ["task", "label", "loss", "features_0", "features_1"],
        ["1", "a, b", "0.5", "1.0", "2.0"],
        ["2", "", "", "3.0", "4.0"],
        ["3", '"quoted"\nline', "-1.5", "5.0", "6.0"],
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
def test_no_cell_is_a_formula(text: str) -> None:
    assert read_csv(written(Format.CSV, [{"label": [text]}]))[1] == [f"'{text}"]


def test_parquet_has_the_same_values_with_their_types() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(BytesIO(written(Format.PARQUET, PARTS)))
    assert table.to_pydict() == {
        "task": [1, 2, 3],
        "label": ["a, b", None, '"quoted"\nline'],
        "loss": [0.5, None, -1.5],
        "features": [[1, 2], [3, 4], [5, 6]],
    }


def test_table_is_sent_part_by_part() -> None:
    begun: list[int] = []

    def endless() -> Iterable[Rows]:
        for number in range(10**9):
            begun.append(number)
            yield {"task": np.arange(10)}

    for form in (Format.CSV, Format.PARQUET):
        if form is Format.PARQUET:
            pytest.importorskip("pyarrow")
        begun.clear()
        pieces = iter(form.write(endless()))
        assert all(next(pieces) for _ in range(3))
        assert len(begun) == 3


@pytest.mark.parametrize("form", Format)
def test_empty_table_has_its_columns(form: Format) -> None:
    if form is Format.PARQUET:
        parquet = pytest.importorskip("pyarrow.parquet")
    content = written(form, [{"task": np.empty(0, np.int64), "label": [], "loss": np.empty(0)}])
    names = read_csv(content)[0] if form is Format.CSV else parquet.read_table(BytesIO(content)).column_names
    assert names == ["task", "label", "loss"]
