"""Rows of a frame file, or of a file of features, in the artefact store: slices that are added and never changed.

Below a name lies an object ``FIRST-END-SHA256`` for each slice, with those rows from ``FIRST`` until ``END`` that hold something.
No row is given to a second image, so a slice stays right, and those of several hosts agree. A slice is written in one step, and
checked by its name.
"""

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.object_store import ObjectStore

MOST_ROWS, MOST_BYTES = 4_096, 64_000_000  # of a slice
MOST_SMALL = 16  # slices of one block of rows, such as those of late imports, before they become one

_NAME = re.compile(r"(\d+)-(\d+)-([0-9a-f]{64})")


@dataclass(frozen=True)
class Slice:
    """An object with the rows from ``first`` until ``end``."""

    first: int
    end: int
    sha256: str

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.first}-{self.end}-{self.sha256}"


class SharedRows:
    """The rows of ``file`` that the store has below ``name``. All methods raise what those of ``ObjectStore`` do."""

    def __init__(self, store: ObjectStore, name: str, file: FrameFile) -> None:
        self._store, self._name, self._file = store, name, file
        self._block = max(1, min(MOST_ROWS, MOST_BYTES // int(np.prod(file.shape))))

    def slices(self) -> list[Slice]:
        """The slices that there are, in their order."""
        found = (_NAME.fullmatch(name) for name in self._store.below(self._name))
        there = (Slice(int(each[1]), int(each[2]), each[3]) for each in found if each)
        return sorted(there, key=lambda each: (each.first, -each.end))

    def share(self, rows: NDArray[np.int64], first: int, end: int, on_tick: Callable[[], None], seconds: float = math.inf) -> int:
        """Uploads what no slice covers from row ``first`` until ``end``; returns until where the store has all.

        Args:
            rows: int64 [n], ascending: those that hold something, from the start of the block that ``first`` is in.
            seconds: after which no further slice is begun.

        Raises:
            StoreCorrupt: a row is damaged.
        """
        deadline, there = time.monotonic() + seconds, self.slices()
        self._store.make_folder(self._name)
        for begin, until in self._uncovered(there, first, end):
            if time.monotonic() > deadline:
                return begin
            on_tick()
            block = self.block_of(begin)
            small = [each for each in there if block <= each.first and each.end <= until]
            if len(small) < MOST_SMALL:
                block, small = begin, []
            self._upload(rows[(rows >= block) & (rows < until)], block, until)
            for each in small:
                self._store.delete(f"{self._name}/{each.name}")
        return end

    def block_of(self, row: int) -> int:
        """The first row of the block that a row is in: no slice reaches from one block into the next."""
        return row // self._block * self._block

    def bring(self, rows: NDArray[np.int64], on_tick: Callable[[], None]) -> Iterator[dict[int, NDArray[np.uint8]]]:
        """What the store has of these rows, int64 [n]: the contents uint8 [h, w, c] by row, slice by slice.

        A slice that is damaged, or was deleted meanwhile, has none.
        """
        for each in self.slices():
            wanted = rows[(rows >= each.first) & (rows < each.end)]
            if len(wanted):
                on_tick()
                yield self._contents(each, wanted)

    def _uncovered(self, there: list[Slice], first: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of an interval that no slice covers, cut where blocks end."""
        for block in range(self.block_of(first), end, self._block):
            begin, until = max(first, block), min(end, block + self._block)
            for each in there:
                if each.first <= begin < each.end:
                    begin = each.end
            if begin < until:
                yield begin, until

    def _upload(self, rows: NDArray[np.int64], first: int, end: int) -> None:
        content = BytesIO()
        np.savez(content, rows=rows, contents=self._file.read(rows))
        data = content.getvalue()
        self._store.write(f"{self._name}/{Slice(first, end, hashlib.sha256(data).hexdigest()).name}", data)

    def _contents(self, each: Slice, wanted: NDArray[np.int64]) -> dict[int, NDArray[np.uint8]]:
        data = self._store.read(f"{self._name}/{each.name}")
        if data is None or hashlib.sha256(data).hexdigest() != each.sha256:
            return {}
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            rows, contents = arrays["rows"], arrays["contents"]
        chosen = np.isin(rows, wanted)
        return dict(zip(rows[chosen].tolist(), contents[chosen], strict=True))
