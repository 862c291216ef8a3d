"""What is known of the images once they were read and scored, whichever way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import ConfigError
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.sources import Source
from pt4al_backend.measures import PretextQuality
from pt4al_backend.ops.rank_files.order import Rows


@dataclass(frozen=True)
class ScoringRequest:
    """What is to be scored.

    Attributes:
        images: files and folders by their whole paths, or URLs.
        decisive: what tells one ranking from another, any JSON.
        task: the main task.
        presign: seconds for which the addresses of images are to be valid; None: addresses without a signature.
        workers: processes of this host that describe the images by a pretrained encoder.
        place: path or URL of the work folder that hosts share, "" for a folder of this one's.
    """

    images: Sequence[str]
    decisive: Mapping[str, Any]
    task: str
    presign: int | None = None
    workers: int = 1
    place: str = ""

    def check(self, source: Source) -> None:
        """Refuses, before any work, images that cannot be addressed as is requested.

        Raises:
            ConfigError: they cannot.
        """
        if self.presign:
            source.presigned(source.names[0], self.presign)


@dataclass(frozen=True, eq=False)
class ScoredImages:
    """Images by their number in the listing.

    Attributes:
        source: the listing.
        stored: height and width of the frames that twins were told by.
        kept: int64 [k], ascending: those that are ranked.
        losses: pretext losses float64 [k] of these.
        features: of these, if an encoder gave any.
        quality: whether the losses mean anything.
        skipped: those that cannot be read, and why.
        copies: those that are identical to another one, and that one.
        changed: those that have changed since they were listed.
        frame_of: the digest of an image's frame.
    """

    source: Source
    stored: Shape
    kept: NDArray[np.int64]
    losses: NDArray[np.float64]
    features: Rows | None
    quality: PretextQuality
    skipped: list[tuple[int, str]]
    copies: list[tuple[int, int]]
    changed: list[int]
    frame_of: Callable[[int], str]


def require_two(kept: int, source: Source, skipped: list[tuple[int, str]]) -> None:
    """Refuses what cannot be ranked.

    Raises:
        ConfigError: fewer than two images.
    """
    if kept >= 2:
        return
    first = next((f" {source.names[number]}: {problem}" for number, problem in skipped), "")
    raise ConfigError(f"Only {kept} of {len(source.names)} images can be read and differ; a ranking needs two.{first}")
