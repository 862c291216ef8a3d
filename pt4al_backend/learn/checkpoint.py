"""A training's state on disk, from which it is resumed after a kill."""

import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from pt4al_backend.artefacts import atomic_write, remove_leftovers

#: Part of the wall clock that checkpoints may take: an epoch over few labels passes faster than a disk flushes.
SHARE = 0.05


class TrainingState(TypedDict):
    """Where a training stands after an epoch."""

    epoch: int  #: epochs done
    size: int  #: images in a minibatch, after any halving
    seconds: float  #: wall clock of all processes that worked on it
    model: dict[str, Tensor]
    optimizer: dict[str, Any]  #: PyTorch's own format


def archive(state: Mapping[str, object]) -> memoryview:
    """PyTorch's archive of ``state``, in memory: writing it then fails as files do, with an OSError that names the cause."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getbuffer()


class Checkpoint:
    """One training's state on disk, replaced atomically. For one process at a time.

    Args:
        path: the file.
        fingerprint: of the work that the state belongs to.
        share: largest part of the wall clock that saving may take, 0..1.
    """

    def __init__(self, path: Path, fingerprint: str, share: float = SHARE) -> None:
        self._path, self._fingerprint, self._share = path, fingerprint, share
        self._saved_at, self._seconds = -math.inf, 0.0

    def load(self, device: torch.device) -> TrainingState | None:
        """The state saved last. None if there is none.

        Raises:
            ValueError: unreadable, or of another piece of work.
        """
        remove_leftovers(self._path.parent)
        if not self._path.exists():
            return None
        try:
            state = torch.load(self._path, map_location=device, weights_only=True)
        except Exception as error:  # a damaged archive surfaces as any of a dozen types
            raise ValueError(f"the checkpoint cannot be read ({type(error).__name__})") from error
        if not isinstance(state, dict) or state.get("fingerprint") != self._fingerprint:
            raise ValueError("the checkpoint belongs to other data or settings")
        return TrainingState(
            epoch=state["epoch"],
            size=state["size"],
            seconds=state.get("seconds", 0.0),  # older versions did not save it
            model=state["model"],
            optimizer=state["optimizer"],
        )

    def save(self, state: TrainingState) -> None:
        """Writes ``state``, unless saving has taken more than its share of the time lately.

        Raises:
            OSError: the disk is full or failing; the state saved before is still there.
        """
        start = time.monotonic()
        if start - self._saved_at < self._seconds / self._share:
            return
        atomic_write(self._path, archive({"fingerprint": self._fingerprint, **state}))
        self._saved_at = time.monotonic()
        self._seconds = self._saved_at - start
