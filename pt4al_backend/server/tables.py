"""Tables as files that are sent while they are made: CSV and Parquet. Memory is that of a few thousand rows."""

import csv
from collections.abc import Iterable, Iterator
from enum import StrEnum
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.engine.exports import Rows
from pt4al_backend.errors import NotNow
from pt4al_backend.server.streamed_file import StreamedFile

#: What a cell begins with that spreadsheets take for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Format(StrEnum):
    """How a table is written."""

    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """What the answer says of itself."""
        return "text/csv; charset=utf-8" if self is Format.CSV else "application/vnd.apache.parquet"

    def require(self) -> None:
        """Raises:
        NotNow: what writes it is not installed.
        """
        if self is Format.PARQUET and find_spec("pyarrow") is None:
            raise NotNow("Parquet needs pyarrow, which is not installed.", "pip install 'pt4al-backend[parquet]'")

    def write(self, parts: Iterable[Rows]) -> Iterator[bytes]:
        """The file, piece by piece; every part has the same columns, and there is one at least."""
        return _csv(parts) if self is Format.CSV else _parquet(parts)


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _csv(parts: Iterable[Rows]) -> Iterator[bytes]:
    is_first = True
    for part in parts:
        buffer = StringIO()
        writer = csv.writer(buffer)
        columns = [spread for name, values in part.items() for spread in _spread(name, values)]
        if is_first:
            writer.writerow([name for name, _ in columns])
            is_first = False
        writer.writerows(zip(*(values for _, values in columns), strict=True))
        yield buffer.getvalue().encode()


def _spread(name: str, values: NDArray[Any] | list[str | None]) -> Iterator[tuple[str, list[Any]]]:
    """A column as CSV has it: a vector becomes a column for each of its numbers, nan an empty cell."""
    if isinstance(values, list):
        yield name, ["" if value is None else harmless(value) for value in values]
    elif values.ndim > 1:
        for number in range(values.shape[1]):
            yield f"{name}_{number}", values[:, number].tolist()
    elif np.issubdtype(values.dtype, np.floating):
        yield name, ["" if value != value else value for value in values.tolist()]
    else:
        yield name, values.tolist()


def _parquet(parts: Iterable[Rows]) -> Iterator[bytes]:
    import pyarrow
    import pyarrow.parquet

    file, writer = StreamedFile(), None
    for part in parts:
        table = pyarrow.table({name: _arrow(values) for name, values in part.items()})
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
        yield file.take()
    if writer is not None:
        writer.close()
        yield file.take()


def _arrow(values: NDArray[Any] | list[str | None]) -> Any:
    import pyarrow

    if isinstance(values, list):
        return pyarrow.array(values, pyarrow.string())
    if values.ndim > 1:
        flat = pyarrow.array(np.ascontiguousarray(values, np.float32).ravel())
        return pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    if np.issubdtype(values.dtype, np.floating):
        return pyarrow.array(values, mask=np.isnan(values))
    return pyarrow.array(values)
