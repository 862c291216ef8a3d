"""What gives images by URLs, through fsspec, which takes credentials from where each store's own tools do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import fsspec

from pt4al_backend.errors import ConfigError

THREADS = 32  # images read at a time
SECONDS = 60.0  # for one image, the library's own tries among them

#: Tells the user something in a sentence.
Note = Callable[[str], None]


class ImageStore(ABC):
    """One kind of store. URLs hold the names of objects as they are.

    What its library raises passes through, but for ``ImageUnreadable`` and ``ConfigError``, which say why themselves.

    Attributes:
        extra: what brings its library.
        has_queries: whether a question mark begins the query of a URL; elsewhere it is part of a pattern.
        versions: what told the content of each object from another one when it was listed, by its URL, if the listing says so.
    """

    extra: ClassVar[str]
    has_queries: ClassVar[bool] = False

    def __init__(self, protocol: str) -> None:
        """Opens a new file system, as credentials may have changed; it keeps no listings.

        Raises:
            ConfigError: its library is not installed.
        """
        self.protocol = protocol
        self.versions: dict[str, str] = {}
        try:
            self._files = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **self._options())
        except ImportError:
            remedy = f"Install it: pip install 'pt4al-backend[{self.extra}]'."
            raise ConfigError(f"What reads {protocol}:// is not installed.", remedy) from None

    def _options(self) -> dict[str, Any]:
        """What the library's file system is told."""
        return {}

    @abstractmethod
    def listed(self, url: str, note: Note) -> Iterator[str]:
        """URLs of all objects at and below ``url``, or of those that it fits as a pattern.

        ``note`` is told which folder below it the store answers for, but does not list.
        """

    @abstractmethod
    def beginning(self, url: str, most: int) -> tuple[bytes, str]:
        """More than ``most`` bytes of a file, or all there are; and its version (see ``has_changed``), "" if that is unknown."""

    def has_changed(self, listed: str, found: str) -> bool:
        """Whether an object is another one than when it was listed, by its version then and that of ``beginning``."""
        return bool(listed and found) and listed != found

    @abstractmethod
    def check(self, url: str) -> None:
        """Raises what is wrong with the store, if it does not list what is below ``url``."""

    @abstractmethod
    def signed(self, url: str, seconds: int) -> str:
        """A URL by which everybody can read a file for some time, with the rights of the credentials here.

        Raises:
            ConfigError: there is none.
        """

    def plain(self, path: str) -> str:
        """A part of a URL as people call it."""
        return path
