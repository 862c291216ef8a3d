"""Buckets of objects. Tasks address them as ``s3://bucket/key``, which Label Studio resolves by a storage for that bucket."""

from collections.abc import Iterable, Iterator
from typing import Any

import fsspec

from pt4al_backend.images.sources.base import is_image
from pt4al_backend.images.sources.failures import understood
from pt4al_backend.images.sources.image_store import SECONDS, THREADS, ImageStore, Note

#: What stores call it that an object has no first byte to begin with.
EMPTY = ("InvalidRange", "416")
PATTERN = frozenset("*?[")


class Bucket(ImageStore):
    """Buckets of Google Cloud Storage, and what all kinds share: the library's paths are URLs without their protocol."""

    extra = "gs"

    def listed(self, url: str, note: Note) -> Iterator[str]:  # noqa: ARG002 - a bucket has keys, no folders
        """As ``ImageStore`` says."""
        path, found = _path(url), False
        for each in self._objects(path):
            found = True
            yield self._url(each)
        if not found and PATTERN.intersection(path):
            yield from (self._url(each) for each in sorted(self._files.glob(path)))

    def beginning(self, url: str, most: int) -> tuple[bytes, str]:
        """As ``ImageStore`` says."""
        try:
            return self._got(_path(url), most)
        except Exception as error:  # each library has its own
            if understood(error).code not in EMPTY:
                raise
            return b"", ""

    def _got(self, path: str, most: int) -> tuple[bytes, str]:
        return bytes(self._files.cat_file(path, start=0, end=most + 1, timeout=SECONDS)), ""

    def check(self, url: str) -> None:
        """As ``ImageStore`` says."""
        self._files.info(_path(url))

    def signed(self, url: str, seconds: int) -> str:
        """As ``ImageStore`` says."""
        return str(self._files.sign(_path(url), expiration=seconds))

    def _url(self, path: str) -> str:
        return f"{self.protocol}://{path}"

    def _objects(self, path: str) -> Iterable[str]:
        """The object of that path, else all below it."""
        return [path] if is_image(path) and self._is_object(path) else self._below(path)

    def _is_object(self, path: str) -> bool:
        try:
            return bool(self._files.info(path)["type"] == "file")
        except (FileNotFoundError, PermissionError):
            return False

    def _below(self, path: str) -> Iterable[str]:
        return sorted(self._files.find(path))


class S3Bucket(Bucket):
    """Buckets of S3 and of what speaks like it."""

    extra = "s3"

    def _options(self) -> dict[str, Any]:
        given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        # the older signature is refused by newer regions, and ends no URL by itself
        return {"config_kwargs": {"max_pool_connections": THREADS, "signature_version": "s3v4", **given}}

    def check(self, url: str) -> None:
        """As ``ImageStore`` says; the library would ask for the object first, and then learn no reason."""
        bucket, _, prefix = _path(url).partition("/")
        self._files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)

    def _got(self, path: str, most: int) -> tuple[bytes, str]:
        return fsspec.asyn.sync(self._files.loop, _object, self._files, path, most, timeout=SECONDS)  # type: ignore[no-any-return]

    def _below(self, path: str) -> Iterator[str]:
        """Keys page by page: the library's own listing holds a kilobyte for each until the last one came."""
        bucket, _, prefix = path.partition("/")
        request: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else ""}
        while True:
            page = self._files.call_s3("list_objects_v2", **request)
            for each in page.get("Contents", ()):
                path = f"{bucket}/{each['Key']}"
                if is_image(path):
                    self.versions[self._url(path)] = each.get("ETag", "").strip('"')
                yield path
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]


async def _object(files: Any, path: str, most: int) -> tuple[bytes, str]:
    """As the library's own ``cat_file``, which drops what the reply says beside the content."""
    bucket, key, _ = files.split_path(path)
    reply = await files._call_s3("get_object", Bucket=bucket, Key=key, Range=f"bytes=0-{most}")
    try:
        return await reply["Body"].read(), reply.get("ETag", "").strip('"')
    finally:
        reply["Body"].close()


def _path(url: str) -> str:
    return url.partition("://")[2]
