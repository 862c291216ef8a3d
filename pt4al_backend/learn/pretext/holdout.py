"""Images held out of the pretext learner's training, and the scale that makes their losses comparable.

A learner with as few images as annotation projects have memorises them: on 500 images of noise it recognises all
orientations, and not one more than chance on others. So a part of the pool is held out. It serves twice:

* whether the pretext task means anything here is measured on it;
* the loss of an image that the learner was not trained on (unseen) is larger than that of one as hard that it was (seen).
  ``Scale`` maps the losses of unseen images (the held out, and every later import) to the seen loss of the same quantile. The
  held-out images are a uniform sample, so both samples are equally hard.

The paper holds nothing out, and trains and scores on the same images: a share of 0, which ``preset = "paper"`` sets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

FILE = "scale.npz"

#: The fewest and the most images that are held out, if any; never more than a quarter of the pool.
LEAST, MOST = 16, 500


def choose(images: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of ``images`` images are held out, about the ``share`` of them: bool [images], drawn uniformly."""
    count = min(max(round(share * images), LEAST), MOST, images // 4) if share else 0
    held = np.zeros(images, dtype=np.bool_)
    held[rng.choice(images, count, replace=False)] = True
    return held


@dataclass(frozen=True)
class Scale:
    """From losses of unseen images to losses of seen ones: float64 arrays, sorted. Without unseen ones nothing changes."""

    seen: NDArray[np.float64]
    unseen: NDArray[np.float64]

    @classmethod
    def of(cls, losses: NDArray[np.float64], held: NDArray[np.bool_]) -> Self:
        """From the losses of a pool of which ``held`` was held out."""
        return cls(np.sort(losses[~held]), np.sort(losses[held]))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what ``save`` wrote."""
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return cls(arrays["seen"], arrays["unseen"])

    def save(self, folder: Path) -> None:
        """Writes the scale into an artefact."""
        np.savez(folder / FILE, seen=self.seen, unseen=self.unseen)

    def __call__(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """The losses of unseen images on the scale of the seen; their order stays, with ties beyond both ends."""
        if not len(self.unseen):
            return losses
        count = len(self.unseen)
        reach = max(self.unseen[-1] - self.unseen[0], np.finfo(np.float64).tiny)
        known = np.concatenate([[self.unseen[0] - reach], self.unseen, [self.unseen[-1] + reach]])
        quantiles = np.concatenate([[0.0], (np.arange(count) + 0.5) / count, [1.0]])
        scaled: NDArray[np.float64] = np.quantile(self.seen, np.interp(losses, known, quantiles))
        return scaled
