"""The content of a shard: what an encoder sees in each of its images, and what became of them.

A shard is an artefact of four files; row k is that of its k-th image, zeros where it could not be read:

* ``upright.npy`` float16 [n, d]: features of the image as it is,
* ``turned.npy`` float16 [n, 3, d]: of its other three orientations,
* ``frames.npy`` uint8 [n, 16]: the digest of its frame, by which twins are found,
* ``notes.json``: ``problems``, why images cannot be read, by their row, and ``changed``, rows of those that were others when they
  were listed.

Its manifest names the encoder, the SHA-256 of its weights, the shapes of frames, and the range of the images' names.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from pt4al_backend import artefacts

UPRIGHT, TURNED, FRAMES, NOTES = "upright.npy", "turned.npy", "frames.npy", "notes.json"
#: All of them, and what names them.
FILES = (UPRIGHT, TURNED, FRAMES, NOTES, artefacts.MANIFEST)
DIGEST_BYTES = 16


class Notes(BaseModel):
    """Why images cannot be read, by their row, and the rows of those that have changed since they were listed."""

    problems: dict[int, str]
    changed: list[int]


@dataclass(frozen=True, eq=False)
class Shard:
    """Features float16 [n, 4, d] of four orientations, digests uint8 [n, 16] of frames, and what is to be said of some rows."""

    features: NDArray[np.float16]
    frames: NDArray[np.uint8]
    notes: Notes

    def write(self, folder: Path) -> None:
        """Writes its files."""
        np.save(folder / UPRIGHT, self.features[:, 0])
        np.save(folder / TURNED, self.features[:, 1:])
        np.save(folder / FRAMES, self.frames)
        (folder / NOTES).write_text(self.notes.model_dump_json())


def upright(folder: Path, rows: NDArray[np.int64] | slice) -> NDArray[np.float16]:
    """Features float16 [m, d] of some images as they are. No more of the file stays in memory than these."""
    return np.array(np.load(folder / UPRIGHT, mmap_mode="r", allow_pickle=False)[rows])


def turned(folder: Path, rows: NDArray[np.int64]) -> NDArray[np.float16]:
    """Features float16 [m, 4, d] of all orientations of some images."""
    others = np.array(np.load(folder / TURNED, mmap_mode="r", allow_pickle=False)[rows])
    return np.concatenate([upright(folder, rows)[:, None], others], axis=1)


def frames(folder: Path) -> NDArray[np.uint8]:
    """Digests uint8 [n, 16] of frames."""
    return np.asarray(np.load(folder / FRAMES, allow_pickle=False))


def notes(folder: Path) -> Notes:
    """What is to be said of some images."""
    return Notes.model_validate_json((folder / NOTES).read_bytes())
