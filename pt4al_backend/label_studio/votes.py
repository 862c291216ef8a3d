"""One mask of those of several annotators.

The majority decides each pixel; of equally many, the newest annotation. No label counts as much as any label. Masks of
annotations without a region fit every size; those of another size than most do not count.

Masks wait packed, and are counted band by band: time grows with annotators times pixels times the classes of a band, memory
with what was drawn.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ClassIds = NDArray[np.uint8]

#: Height and width of the mask of an annotation that draws nothing: it fits any image.
ANY_SIZE = (1, 1)

_BAND = 1 << 16  # pixels that are counted together
_FASTEST = 1


@dataclass(frozen=True)
class Vote:
    """A mask of class ids, uint8 [height, width], packed in bands of pixels."""

    shape: tuple[int, int]
    bands: tuple[bytes, ...]

    @classmethod
    def of(cls, ids: ClassIds) -> "Vote":
        """Packs a mask."""
        height, width = ids.shape
        pixels = ids.tobytes()
        return cls(
            (height, width), tuple(zlib.compress(pixels[at : at + _BAND], _FASTEST) for at in range(0, len(pixels), _BAND))
        )

    def band(self, number: int, size: int) -> ClassIds:
        """The ids of a band of ``size`` pixels; every pixel of a mask without a region is like its one."""
        fits_all = self.shape == ANY_SIZE
        found = np.frombuffer(zlib.decompress(self.bands[0 if fits_all else number]), dtype=np.uint8)
        return found.repeat(size) if fits_all else found

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether it can be counted for an image of that height and width."""
        return self.shape in (shape, ANY_SIZE)


def claimed_shape(votes: Sequence[Vote]) -> tuple[int, int]:
    """Height and width that most say the image has; of equally many, the newest, who comes last."""
    claims = [vote.shape for vote in votes if vote.shape != ANY_SIZE] or [ANY_SIZE]
    claimants = Counter(claims)
    return max(reversed(claims), key=claimants.__getitem__)


def majority(votes: Sequence[Vote]) -> ClassIds:
    """The mask that annotators agree on, of whom the newest comes last; all fit the `claimed_shape`."""
    agreed = np.empty(claimed_shape(votes), dtype=np.uint8)
    for number, start in enumerate(range(0, agreed.size, _BAND)):
        band = agreed.reshape(-1)[start : start + _BAND]
        band[:] = _elected(np.stack([vote.band(number, band.size) for vote in votes]))
    return agreed


def _elected(votes: ClassIds) -> ClassIds:
    """What wins each pixel, of the ids that [annotators, pixels] give it."""
    elected: ClassIds = votes[-1].copy()
    open_ones = np.flatnonzero((votes != elected).any(axis=0))
    if open_ones.size:
        elected[open_ones] = _counted(votes.take(open_ones, axis=1))
    return elected


def _counted(votes: ClassIds) -> ClassIds:
    """The same, of pixels on which not all agree."""
    annotators, pixels = votes.shape
    ages = np.arange(annotators, dtype=np.min_scalar_type(annotators * (annotators + 1)))[:, None]
    elected, most = np.empty(pixels, dtype=np.uint8), np.zeros(pixels, dtype=ages.dtype)
    for each in np.unique(votes):
        hits = votes == each
        # Of equally many the one whose newest annotation is newest: no two have the same, so no two ranks are equal.
        rank = hits.sum(axis=0, dtype=ages.dtype) * ages.dtype.type(annotators) + (hits * ages).max(axis=0)
        np.copyto(elected, each, where=rank > most)
        np.maximum(most, rank, out=most)
    return elected
