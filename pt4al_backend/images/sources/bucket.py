"""Images in buckets and below listings of web servers, through fsspec, which takes credentials from where each store's tools do.

Tasks address them as ``s3://bucket/key``, which Label Studio resolves by the project's source storage for that bucket.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote

import fsspec

from pt4al_backend.errors import BucketUnavailable, ConfigError, ImageUnreadable
from pt4al_backend.images.sources import web
from pt4al_backend.images.sources.base import Source, image_suffixes, is_image, no_presigned_urls, too_long
from pt4al_backend.images.sources.failures import of_image, of_store, understood

#: What is read, by the beginning of its URLs, and the extra that brings it.
EXTRAS = {"s3": "s3", "gs": "gs", "http": "http", "https": "http"}
#: What stores call it that an object has no first byte to begin with.
EMPTY = ("InvalidRange", "416")
SECONDS = 60.0  # for one image, the library's own tries among them
PATTERN = frozenset("*?[")


class Bucket(Source):
    """Images of one kind of store; ``names`` are their URLs, with the objects' names as they are."""

    threads: ClassVar[int] = 32

    def __init__(self, protocol: str, names: Sequence[str], root: str = "") -> None:
        super().__init__(names, root)
        self._protocol = protocol
        self._store = _opened(protocol)
        self._tops = [root] if root else list(names[:1])

    @classmethod
    def find(cls, urls: Sequence[str]) -> "Bucket":
        """Finds images: all below the URLs, those that are named themselves, and patterns such as ``s3://bucket/**/*.png``.

        Raises:
            ConfigError: a URL cannot be read, or there is no image.
            BucketUnavailable: the store cannot be reached, or refuses.
        """
        protocols = {_protocol_of(url) for url in urls}
        if len(protocols) > 1:
            raise ConfigError("Images of several kinds of stores cannot be ranked together.", "Rank them one after the other.")
        found: dict[str, None] = {}
        bucket = cls(protocols.pop(), [])
        tops, objects = [], 0
        for url in (each.rstrip("/") for each in urls):
            tops.append(url.rpartition("/")[0] if is_image(url) else url)
            for name in bucket._below(url):
                objects += 1
                if name == url or is_image(name):
                    found[name] = None
        if not found:
            what = f"None of {objects:,} objects has the ending of an image" if objects else "There is nothing"
            endings = f"Images are taken by their ending: {', '.join(sorted(image_suffixes()))}."
            raise ConfigError(f"{what} below {', '.join(urls)}.", f"Correct the URL. {endings}")
        bucket.names, bucket.root, bucket._tops = list(found), _common(tops), tops
        return bucket

    def read(self, name: str, most: int) -> bytes:
        """As ``Source`` says."""
        try:
            data = self._beginning(self._path(name), most)
        except ImageUnreadable:
            raise
        except Exception as error:  # each library has its own; what they say may hold secrets
            if understood(error).code not in EMPTY:
                raise of_image(error) from None
            data = b""
        if len(data) > most:
            raise too_long(most)
        return data

    def _beginning(self, path: str, most: int) -> bytes:
        """At least ``most`` + 1 bytes, or all there are."""
        if self._protocol in web.PROTOCOLS:
            return bytes(fsspec.asyn.sync(self._store.loop, web.beginning, self._store, path, most, SECONDS))
        return bytes(self._store.cat_file(path, start=0, end=most + 1, timeout=SECONDS))

    def own_address(self, name: str) -> str:
        """Its URL, which Label Studio resolves by a source storage of the project."""
        return name

    def below(self, name: str) -> str:
        """As ``Source`` says; links of a web server are percent-encoded."""
        return unquote(super().below(name)) if self._protocol in web.PROTOCOLS else super().below(name)

    def presigned(self, name: str, seconds: int) -> str:
        """As ``Source`` says; whoever has the URL can read the image, with the rights of the credentials here."""
        if self._protocol not in ("s3", "gs"):
            raise no_presigned_urls(name)
        try:
            return str(self._store.sign(self._path(name), expiration=seconds))
        except Exception as error:
            raise of_store(name, error) from None

    def require_reachable(self) -> None:
        """As ``Source`` says."""
        for top in self._tops:
            try:
                if self._protocol == "s3":  # whose library asks for the object first, and then learns no reason
                    bucket, _, prefix = self._path(top).partition("/")
                    self._store.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
                elif self._protocol in web.PROTOCOLS:
                    self._store.ls(f"{top}/")
                else:
                    self._store.info(self._path(top))
            except Exception as error:
                if self._protocol in web.PROTOCOLS and understood(error).missing:
                    continue  # it answers; of images that were named themselves there may be no listing
                raise of_store(top, error) from None

    def _path(self, url: str) -> str:
        """What the store's library calls an image."""
        return url if self._protocol in web.PROTOCOLS else url.partition("://")[2]

    def _url(self, path: str) -> str:
        return path if self._protocol in web.PROTOCOLS else f"{self._protocol}://{path}"

    def _below(self, url: str) -> Iterator[str]:
        """URLs of all objects at and below ``url``."""
        path = self._path(url)
        try:
            found = False
            for each in self._listed(path):
                found = True
                yield self._url(each)
            if not found and PATTERN.intersection(path):
                yield from (self._url(each) for each in sorted(self._store.glob(path)))
        except ImageUnreadable as error:
            raise BucketUnavailable(f"{url} cannot be listed. {error.message}", error.remedy) from None
        except Exception as error:
            raise of_store(url, error) from None

    def _listed(self, path: str) -> Iterable[str]:
        if self._protocol in web.PROTOCOLS:
            return [path] if is_image(path) else self._linked(path + "/")
        if is_image(path) and self._is_object(path):
            return [path]
        return self._paged(path) if self._protocol == "s3" else sorted(self._store.find(path))

    def _is_object(self, path: str) -> bool:
        try:
            return bool(self._store.info(path)["type"] == "file")
        except (FileNotFoundError, PermissionError):
            return False

    def _paged(self, path: str) -> Iterator[str]:
        """Keys page by page: the library's own listing holds a kilobyte for each until the last one came."""
        bucket, _, prefix = path.partition("/")
        request: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else ""}
        while True:
            page = self._store.call_s3("list_objects_v2", **request)
            yield from (f"{bucket}/{each['Key']}" for each in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _linked(self, top: str) -> Iterator[str]:
        """What the listing at ``top`` links to, and the listings below it; nothing beside it, such as its parent."""
        waiting, seen = [top], {top}
        while waiting:
            for url in self._links(waiting.pop(), top):
                if not url.startswith(top) or url in seen or "?" in url or "/../" in unquote(url):
                    continue
                seen.add(url)
                if url.endswith("/"):
                    waiting.append(url)
                else:
                    yield url

    def _links(self, listing: str, top: str) -> list[str]:
        """What one listing links to; nothing of one below ``top`` that redirects to another host."""
        try:
            return sorted(each["name"] for each in self._store.ls(listing, detail=True))
        except ImageUnreadable:
            if listing == top:
                raise
            return []


def _opened(protocol: str) -> Any:
    """The file system of a kind of store: a new one, as credentials may have changed; it keeps no listings."""
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if protocol == "s3":
        given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        # the older signature is refused by newer regions, and ends no URL by itself
        options["config_kwargs"] = {"max_pool_connections": Bucket.threads, "signature_version": "s3v4", **given}
    try:
        if protocol in web.PROTOCOLS:
            options |= web.options()
        return fsspec.filesystem(protocol, **options)
    except ImportError:
        extra = EXTRAS[protocol]
        raise ConfigError(
            f"What reads {protocol}:// is not installed.", f"Install it: pip install 'pt4al-backend[{extra}]'."
        ) from None


def _protocol_of(url: str) -> str:
    protocol, _, rest = url.partition("://")
    if protocol not in EXTRAS:
        kinds = ", ".join(f"{each}://" for each in EXTRAS)
        raise ConfigError(f"Images cannot be read from {protocol[:20]}://.", f"Name a URL that begins with {kinds}, or files.")
    if "@" in rest.partition("/")[0] or (protocol in web.PROTOCOLS and "?" in rest):
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
