"""One mask of those of several annotators.

Each pixel is reconciled by the rule of ``agreement``. No label counts as much as any label. Masks of annotations without a region
fit every size; those of another size than most do not count.

Masks wait packed, and are counted band by band: time grows with annotators times pixels times the classes of a band, memory
with what was drawn.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pt4al_backend.aliases import ClassIds
from pt4al_backend.label_studio.agreement import winner, winners

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
    """Height and width that most say the image has; by the rule of ``agreement``."""
    claims = [vote.shape for vote in votes if vote.shape != ANY_SIZE] or [ANY_SIZE]
    return winner(claims)


def majority(votes: Sequence[Vote]) -> ClassIds:
    """The mask that annotators agree on, of whom the newest comes last; all fit the `claimed_shape`."""
    agreed = np.empty(claimed_shape(votes), dtype=np.uint8)
    for number, start in enumerate(range(0, agreed.size, _BAND)):
        band = agreed.reshape(-1)[start : start + _BAND]
        band[:] = winners(np.stack([vote.band(number, band.size) for vote in votes]))
    return agreed
