"""Images in a store that is named by URLs; what differs between stores is in ``ImageStore``."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pt4al_backend.errors import BucketUnavailable, ConfigError, ImageUnreadable
from pt4al_backend.images.sources.base import Source, image_suffixes, is_image, too_long
from pt4al_backend.images.sources.bucket import Bucket, S3Bucket
from pt4al_backend.images.sources.failures import of_image, of_store
from pt4al_backend.images.sources.image_store import THREADS, ImageStore, Note
from pt4al_backend.images.sources.web import WebServer

#: What is read, by the beginning of its URLs.
STORES: dict[str, type[ImageStore]] = {"s3": S3Bucket, "gs": Bucket, "http": WebServer, "https": WebServer}


class Remote(Source):
    """Images of one store; ``names`` are their URLs, with the objects' names as they are.

    Args:
        tops: where the store is asked whether it can be reached.
    """

    threads: ClassVar[int] = THREADS

    def __init__(self, store: ImageStore, names: Sequence[str], root: str, tops: Sequence[str]) -> None:
        super().__init__(names, root)
        self._store = store
        self._tops = tops

    @classmethod
    def of(cls, names: Sequence[str], root: str) -> "Remote":
        """Images that were found earlier.

        Raises:
            ConfigError: what reads them is not installed.
        """
        protocol = names[0].partition("://")[0]
        return cls(STORES[protocol](protocol), names, root, [root or names[0]])

    @classmethod
    def find(cls, urls: Sequence[str], note: Note) -> "Remote":
        """Finds images: all below the URLs, those that are named themselves, and patterns such as ``s3://bucket/**/*.png``.

        Nothing is held of other objects; ``note`` is told how many there are, and which folders are not listed.

        Raises:
            ConfigError: a URL cannot be read, or there is no image.
            BucketUnavailable: the store cannot be reached, or refuses.
        """
        protocols = {_protocol_of(url) for url in urls}
        if len(protocols) > 1:
            raise ConfigError("Images of several kinds of stores cannot be ranked together.", "Rank them one after the other.")
        protocol = protocols.pop()
        store = STORES[protocol](protocol)
        found: dict[str, None] = {}
        tops, others = [], 0
        for url in (each.rstrip("/") for each in urls):
            tops.append(url.rpartition("/")[0] if is_image(url) else url)
            for name in _listed(store, url, note):
                if name == url or is_image(name):
                    found[name] = None
                else:
                    others += 1
        if not found:
            what = f"None of {others:,} objects has the ending of an image" if others else "There is nothing"
            endings = f"Images are taken by their ending: {', '.join(sorted(image_suffixes()))}."
            raise ConfigError(f"{what} below {', '.join(urls)}.", f"Correct the URL. {endings}")
        if others:
            note(f"Left out {others:,} objects whose names do not end as an image's do.")
        source = cls(store, list(found), _common(tops), tops)
        source.versions = store.versions
        return source

    def read_version(self, name: str, most: int) -> tuple[bytes, str]:
        """As ``Source`` says."""
        try:
            data, version = self._store.beginning(name, most)
        except ImageUnreadable:
            raise
        except Exception as error:  # each library has its own; what they say may hold secrets
            raise of_image(error) from None
        if len(data) > most:
            raise too_long(most)
        return data, version

    def has_changed(self, listed: str, found: str) -> bool:
        """As ``Source`` says."""
        return self._store.has_changed(listed, found)

    def own_address(self, name: str) -> str:
        """Its URL, which Label Studio resolves by a source storage of the project."""
        return name

    def below(self, name: str) -> str:
        """As ``Source`` says."""
        return self._store.plain(super().below(name))

    def presigned(self, name: str, seconds: int) -> str:
        """As ``Source`` says; whoever has the URL can read the image, with the rights of the credentials here."""
        try:
            return self._store.signed(name, seconds)
        except ConfigError:
            raise
        except Exception as error:
            raise of_store(name, error) from None

    def require_reachable(self) -> None:
        """As ``Source`` says."""
        for top in self._tops:
            try:
                self._store.check(top)
            except Exception as error:
                raise of_store(top, error) from None


def _listed(store: ImageStore, url: str, note: Note) -> Iterator[str]:
    """URLs of all objects at and below ``url``.

    Raises:
        BucketUnavailable: the store cannot be reached, or refuses.
    """
    try:
        yield from store.listed(url, note)
    except ImageUnreadable as error:
        raise BucketUnavailable(f"{url} cannot be listed. {error.message}", error.remedy) from None
    except Exception as error:
        raise of_store(url, error) from None


def _protocol_of(url: str) -> str:
    protocol, _, rest = url.partition("://")
    if protocol not in STORES:
        kinds = ", ".join(f"{each}://" for each in STORES)
        raise ConfigError(f"Images cannot be read from {protocol[:20]}://.", f"Name a URL that begins with {kinds}, or files.")
    if "@" in rest.partition("/")[0] or (STORES[protocol].has_queries and "?" in rest):
        raise ConfigError(
            "A URL with a password or a query cannot be ranked: tasks would hold it, for everybody who reads them.",
            "Give credentials through the environment, as the documentation of ranking before import says.",
        )
    if not rest.strip("/"):
        raise ConfigError(f"{url!r} names no bucket.", f"Write {protocol}://bucket/folder.")
    return protocol


def _common(urls: Sequence[str]) -> str:
    """The longest beginning that URLs share, up to a slash or their end."""
    split = [url.split("/") for url in urls]
    shared = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)
