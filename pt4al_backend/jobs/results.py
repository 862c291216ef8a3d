"""What a finished job left beside its model: the outputs of candidates, and the pretext learner's features."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.folder import RESULT
from pt4al_backend.query.confidence import CALIBRATED
from pt4al_backend.query.plan import StoredOutput

#: The file of what a model says of its candidates.
CANDIDATES = "candidates.npz"


def read_scored(folder: Path) -> StoredOutput:
    """What a finished job says of its candidates, from what it wrote beside its model.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    result = folder / RESULT
    with _sound(folder):
        # opened here: np.load leaves a damaged file open
        with (result / CANDIDATES).open("rb") as file, np.load(file, allow_pickle=False) as output:
            confidences, labels = {name: output[name] for name in output.files if name != "labels"}, output["labels"]
        features, labelled, posteriors = (_load_kept(result / f"{name}.npy") for name in ("features", "labelled", "posteriors"))
        ids = np.load(folder / "candidate_ids.npy", allow_pickle=False)
        return StoredOutput(ids, confidences, labels, features, labelled, posteriors)


class Candidates(NamedTuple):
    """What a model answers to its candidates, for people: task ids int64 [n], labels str [n], how sure it is float64 [n]."""

    ids: NDArray[np.int64]
    labels: NDArray[np.str_]
    confidences: NDArray[np.float64]


def read_candidates(folder: Path) -> Candidates:
    """A part of ``read_scored``, which reads megabytes of features as well.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    with _sound(folder), (folder / RESULT / CANDIDATES).open("rb") as file, np.load(file, allow_pickle=False) as output:
        ids = np.load(folder / "candidate_ids.npy", allow_pickle=False)
        shown = CALIBRATED if CALIBRATED in output.files else "least_confidence"
        return Candidates(ids, output["labels"], output[shown])


def read_rows(folder: Path) -> NDArray[np.int64]:
    """The rows of the frames int64 [n] that a job's candidates had, in the order of ``read_candidates``.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    with _sound(folder):
        rows: NDArray[np.int64] = np.load(folder / "candidates.npy", allow_pickle=False)
        return rows


def read_learner(folder: Path) -> StoredOutput:
    """The pretext learner's features of the pool's images, from what a finished ranking wrote; empty if none were wanted.

    Raises:
        StoreCorrupt: it is damaged.
    """
    with _sound(folder):
        features = _load_kept(folder / RESULT / "features.npy")
        if features is None:
            return StoredOutput()
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        return StoredOutput(ids, {}, np.full(len(ids), ""), features)


@contextmanager
def _sound(folder: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, EOFError, KeyError, ValueError, BadZipFile) as error:  # other errors of a disk say nothing of it
        raise StoreCorrupt(f"{folder} is missing or damaged ({type(error).__name__}).", "Delete it: it is made again.") from error


def _load_kept(path: Path) -> NDArray[np.floating] | None:
    return np.load(path, allow_pickle=False) if path.exists() else None
