"""What a web server lists. Only the wanted part of a file is requested, and nothing from other hosts.

A listing says nothing about the files' content. So the version of a file is the time of the listing, by the server's clock:
a file that was modified later has changed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

import fsspec

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.sources.base import is_image, no_presigned_urls
from pt4al_backend.images.sources.failures import of_store, understood
from pt4al_backend.images.sources.image_store import SECONDS, ImageStore, Note

CHUNK = 1 << 16


class WebServer(ImageStore):
    """A web server's listings, and the files that they link to."""

    extra = "http"
    has_queries = True
    _date = ""

    def _options(self) -> dict[str, Any]:
        """Those of the environment, and redirects to other hosts are not followed.

        Raises:
            ImportError: aiohttp is not installed.
        """
        from aiohttp import TraceConfig

        given: dict[str, Any] = {}
        for each in ("http", "https"):
            given |= fsspec.config.conf.get(each, {}).get("client_kwargs", {})
        trace = TraceConfig()
        trace.on_request_redirect.append(_stay)
        trace.on_request_end.append(self._note_date)
        return {"client_kwargs": {**given, "trace_configs": [trace]}}

    def listed(self, url: str, note: Note) -> Iterator[str]:
        """As ``ImageStore`` says; there are no patterns. The version of what is named itself is unknown."""
        return iter([url]) if is_image(url) else self._linked(f"{url}/", note)

    def beginning(self, url: str, most: int) -> tuple[bytes, str]:
        """As ``ImageStore`` says; the version is when the file was modified."""
        return fsspec.asyn.sync(self._files.loop, _beginning, self._files, url, most)  # type: ignore[no-any-return]

    def has_changed(self, listed: str, found: str) -> bool:
        """Whether a file was modified after it was listed; dates are those of HTTP."""
        try:
            return bool(listed and found) and parsedate_to_datetime(found) > parsedate_to_datetime(listed)
        except (ValueError, TypeError):  # no dates, or one of them without a time zone
            return False

    def check(self, url: str) -> None:
        """As ``ImageStore`` says; of images that were named themselves there may be no listing."""
        with suppress(FileNotFoundError):
            self._files.ls(f"{url}/")

    def signed(self, url: str, seconds: int) -> str:  # noqa: ARG002 - as of every store
        """There is none."""
        raise no_presigned_urls(url)

    def plain(self, path: str) -> str:
        """Links are percent-encoded."""
        return unquote(path)

    def _linked(self, top: str, note: Note) -> Iterator[str]:
        """What the listing at ``top`` links to, and the listings below it; nothing beside it, such as its parent."""
        waiting, seen = [top], {top}
        while waiting:
            for url in self._links(waiting.pop(), top, note):
                if not url.startswith(top) or url in seen or "?" in url or "/../" in unquote(url):
                    continue
                seen.add(url)
                if url.endswith("/"):
                    waiting.append(url)
                    continue
                if is_image(url) and self._date:
                    self.versions[url] = self._date
                yield url

    async def _note_date(self, _session: Any, _context: Any, ended: Any) -> None:
        """Keeps the server's time of its last reply."""
        self._date = str(ended.response.headers.get("Date", ""))

    def _links(self, listing: str, top: str, note: Note) -> list[str]:
        """What one listing links to; nothing of one below ``top`` that is refused, gone, broken or on another host."""
        try:
            return sorted(each["name"] for each in self._files.ls(listing, detail=True))
        except Exception as error:  # aiohttp's, or fsspec's
            is_answer = isinstance(error, ImageUnreadable | FileNotFoundError) or understood(error).code.isdecimal()
            if listing == top or not is_answer:  # of a server that is gone no more is to be had
                raise
            why = error.message if isinstance(error, ImageUnreadable) else of_store(listing, error).message
            note(f"Skipped {listing} and all below it. {why}")
            return []


async def _beginning(files: Any, url: str, most: int) -> tuple[bytes, str]:
    """The file at ``url``; of one that is longer than ``most`` bytes, a little more than those: servers may ignore a range.

    And when it was modified; "" if that is as it is sent, which is what some servers say of all they send.

    Raises:
        ImageUnreadable: it is on another host.
        Exception: aiohttp's, or TimeoutError.
    """
    async with asyncio.timeout(SECONDS):
        session = await files.set_session()
        async with session.get(files.encode_url(url), **files.kwargs) as reply:
            reply.raise_for_status()
            data = bytearray()
            async for part in reply.content.iter_chunked(CHUNK):
                data += part
                if len(data) > most:
                    reply.close()
                    break
            modified = reply.headers.get("Last-Modified", "")
            return bytes(data), "" if modified == reply.headers.get("Date") else modified


async def _stay(_session: Any, _context: Any, redirect: Any) -> None:
    """Refuses a redirect to another host: headers from the environment, which may hold secrets, would go there as well."""
    old, reply = redirect.url, redirect.response
    new = old.join(type(old)(reply.headers.get("Location", "")))
    is_upgraded = (old.scheme, new.scheme, new.host) == ("http", "https", old.host)
    if (new.scheme, new.authority) != (old.scheme, old.authority) and not is_upgraded:
        reply.close()
        raise ImageUnreadable(
            "The server redirects to another host, which is not followed.", "Name the images by their URL on that host."
        )
