"""What a finished job left beside its model: the outputs of candidates, and the pretext learner's features."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.folder import RESULT
from pt4al_backend.query.confidence import CALIBRATED
from pt4al_backend.query.plan import StoredOutput

#: The file of what a model says of its candidates.
CANDIDATES = "candidates.npz"
#: The file of what it says of images that came after its training.
LATER = "later.npz"


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


class Answers(NamedTuple):
    """``Candidates``, ids ascending, with the rows of the frames that were answered, int64 [n]."""

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.str_]
    confidences: NDArray[np.float64]

    def with_later(self, later: Self) -> Self:
        """Joined by answers that were given later: of a task that has both, the later one counts."""
        joined = [np.concatenate(pair) for pair in zip(self, later, strict=True)]
        last = len(joined[0]) - 1 - np.unique(joined[0][::-1], return_index=True)[1]
        return type(self)(*(values[last] for values in joined))

    def save(self, folder: Path) -> None:
        """Writes what ``read_later`` reads."""
        np.savez_compressed(folder / LATER, **self._asdict())


def read_answers(folder: Path) -> Answers:
    """What the model of a finished job answered to the images that were there when it was trained.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    ids, labels, confidences = read_candidates(folder)
    order = np.argsort(ids)
    with _sound(folder):
        rows = np.load(folder / "candidates.npy", allow_pickle=False)
        return Answers(ids[order], rows[order], labels[order], confidences[order])


def read_later(result: Path) -> Answers:
    """What a model answered to images that came after its training, up to the job of a result.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    with _sound(result.parent), (result / LATER).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Answers(**{name: arrays[name] for name in Answers._fields})


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
