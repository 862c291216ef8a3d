"""What is to be done to a listing that is cut into shards: the same for all that work at it, whatever their own settings say."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pt4al_backend.images.frames import Shape

#: Images of a shard: a large one's features take 100 MB, a killed process loses no more than a small one's share of the listing.
LEAST_SHARD, MOST_SHARD = 256, 10_000
#: Shards that a listing is cut into if that makes them neither smaller nor larger.
SHARDS = 64


def shard_size(images: int) -> int:
    """How many images a shard of a listing of ``images`` has; the last one may have fewer."""
    return min(MOST_SHARD, max(LEAST_SHARD, ceil(images / SHARDS)))


def listing_of(names: Iterable[str], versions: Mapping[str, str]) -> str:
    """What tells a listing from others."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(json.dumps([name, versions.get(name, "")]).encode())
    return digest.hexdigest()[:16]


class Plan(BaseModel):
    """What decides the features of a listing, beside the images.

    Attributes:
        wanted: tells apart what was asked for.
        listing: tells apart what was listed: the names of the images, in their order, and their versions.
        begun: when the images were listed, for people.
        root: of their names (see ``images.sources``).
        images: how many there are, and ``size``: how many of them a shard has.
        task: the main task that they are framed for, in the shape ``stored``, of which the encoder sees the centre, ``shape``.
        encoder: of timm's, with weights of this ``sha256``.
        max_bytes, max_pixels: of an image that is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = 2
    wanted: str
    listing: str
    begun: str
    root: str
    images: int
    size: int
    task: str
    stored: Shape
    shape: Shape
    encoder: str
    sha256: str
    max_bytes: int
    max_pixels: int

    @property
    def id(self) -> str:
        """What all that is done by it is known by: two that ask for the same of the same images have the same."""
        return hashlib.sha256(self.model_dump_json(exclude={"begun"}).encode()).hexdigest()[:16]

    @property
    def shards(self) -> int:
        """How many there are."""
        return ceil(self.images / self.size)

    def count(self, shard: int) -> int:
        """How many images a shard has."""
        return min(self.size, self.images - shard * self.size)

    def cut(self, names: Sequence[str], shard: int) -> Sequence[str]:
        """Those of all names that are a shard's."""
        return names[shard * self.size : shard * self.size + self.count(shard)]
