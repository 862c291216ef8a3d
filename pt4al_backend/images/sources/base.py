"""What all sources share."""

import os
import posixpath
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar
from urllib.parse import quote

from PIL import Image

from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.decode import FORMATS

#: What addresses by the names of objects begin with.
CLOUD = ("s3://", "gs://", "azure-blob://")


class Source(ABC):
    """Images by their names. A name is what messages call an image, and holds no secret.

    Attributes:
        names: of the images, each once.
        root: what of a name stands before the part that follows ``prefix`` in an address.
        threads: how many images are read at a time, None for as many as there are cores.
        versions: what told the content of images from another one when they were found, by their names, where that is known (see
            ``has_changed``).
    """

    threads: ClassVar[int | None] = None

    def __init__(self, names: Sequence[str], root: str = "") -> None:
        self.names = names
        self.root = root
        self.versions: Mapping[str, str] = {}

    def read(self, name: str, most: int) -> bytes:
        """The image file of that name (see ``read_version``)."""
        return self.read_version(name, most)[0]

    @abstractmethod
    def read_version(self, name: str, most: int) -> tuple[bytes, str]:
        """The image file of that name, and what tells its content from another one (see ``has_changed``), "" if that is unknown.

        Raises:
            ImageUnreadable: it cannot be read, or is longer than ``most`` bytes; ``transient`` if its store failed or refused.
        """

    def has_changed(self, listed: str, found: str) -> bool:
        """Whether an image is another one than when it was listed, by its version then and that of ``read_version``."""
        return bool(listed and found) and listed != found

    @abstractmethod
    def own_address(self, name: str) -> str:
        """Where Label Studio finds the image by itself, if it is set up to."""

    def address(self, name: str, prefix: str | None = None) -> str:
        """What a task's image field holds: ``prefix`` and what follows ``root``; without one, its own address.

        What follows is percent-encoded, but for object names.
        """
        if prefix is None:
            return self.own_address(name)
        joint = "" if not prefix or prefix.endswith(("/", "=")) else "/"
        below = self.below(name)
        return prefix + joint + (below if prefix.startswith(CLOUD) else quote(os.fsencode(below)))

    @abstractmethod
    def presigned(self, name: str, seconds: int) -> str:
        """A URL that everybody can read the image by for some time.

        Raises:
            ConfigError: there is none.
        """

    @abstractmethod
    def require_reachable(self) -> None:
        """Called after images failed whose store may be to blame.

        Raises:
            BucketUnavailable: it is.
        """

    def below(self, name: str) -> str:
        """What follows ``root`` in a name."""
        return name.removeprefix(self.root).removeprefix("/")


@cache
def image_suffixes() -> frozenset[str]:
    """Endings of the names of files that can be read, in small letters."""
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)


def is_image(name: str) -> bool:
    """Whether a name ends as an image's does."""
    return posixpath.splitext(name)[1].lower() in image_suffixes()


def no_presigned_urls(name: str) -> ConfigError:
    """That there is no URL by which everybody can read an image."""
    return ConfigError(f"There are no presigned URLs of {name}.", "Leave --presign out; it is for s3:// and gs://.")


def too_long(most: int) -> ImageUnreadable:
    """Of a file that is longer than ``most`` bytes."""
    return ImageUnreadable(f"The file is longer than {most:,} bytes.", "Raise PT4AL_IMAGE_MAX_BYTES.")
