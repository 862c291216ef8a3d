"""What a web server is asked for: no more of a file than is wanted, and nothing of another host."""

import asyncio
from typing import Any

import fsspec

from pt4al_backend.errors import ImageUnreadable

PROTOCOLS = ("http", "https")
CHUNK = 1 << 16


def options() -> dict[str, Any]:
    """Options of fsspec's file system: those of the environment, and redirects to other hosts are not followed.

    Raises:
        ImportError: aiohttp is not installed.
    """
    from aiohttp import TraceConfig

    given: dict[str, Any] = {}
    for each in PROTOCOLS:
        given |= fsspec.config.conf.get(each, {}).get("client_kwargs", {})
    trace = TraceConfig()
    trace.on_request_redirect.append(_stay)
    return {"client_kwargs": {**given, "trace_configs": [trace]}}


async def beginning(store: Any, url: str, most: int, seconds: float) -> bytes:
    """The file at ``url``; of one that is longer than ``most`` bytes, a little more than those: servers may ignore a range.

    Raises:
        ImageUnreadable: it is on another host.
        Exception: aiohttp's, or TimeoutError.
    """
    async with asyncio.timeout(seconds):
        session = await store.set_session()
        async with session.get(store.encode_url(url), **store.kwargs) as reply:
            reply.raise_for_status()
            data = bytearray()
            async for part in reply.content.iter_chunked(CHUNK):
                data += part
                if len(data) > most:
                    reply.close()
                    break
            return bytes(data)


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
