"""A web server of tiny images, as many as are wanted, made as they are fetched: ``python -m pt4al_backend.bench.scale.lake N``.

It prints its port. Image k is a bitmap of 32 pixels a side, another one for each k, whose colours run from top to bottom.
"""

import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np

SIDE, IN_FOLDER = 32, 1_000
HEADER = struct.pack(
    "<2sIIIIiiHHIIiiII", b"BM", 54 + 3 * SIDE * SIDE, 0, 54, 40, SIDE, SIDE, 1, 24, 0, 3 * SIDE * SIDE, 0, 0, 0, 0
)


def bitmap(k: int) -> bytes:
    """Image ``k`` as a file."""
    rng = np.random.default_rng(k)
    below, above = rng.integers(0, 256, (2, 3))
    share = np.linspace(0, 1, SIDE)[:, None, None]
    pixels = (1 - share) * below + share * above + rng.integers(-30, 31, (SIDE, SIDE, 3))
    return HEADER + bytes(pixels.clip(0, 255).astype(np.uint8))


def serve(count: int) -> None:
    """Serves listings of ``IN_FOLDER`` images each, and the images, until it is ended."""
    from aiohttp import web

    async def top(_: web.Request) -> web.Response:
        links = "".join(f'<a href="{number:06}/">{number}</a>\n' for number in range(ceil(count / IN_FOLDER)))
        return web.Response(text=links, content_type="text/html")

    async def folder(request: web.Request) -> web.Response:
        first = int(request.match_info["folder"]) * IN_FOLDER
        names = range(first, min(first + IN_FOLDER, count))
        return web.Response(text="".join(f'<a href="{k:09}.bmp">{k}</a>\n' for k in names), content_type="text/html")

    async def image(request: web.Request) -> web.Response:
        return web.Response(body=bitmap(int(request.match_info["image"])), content_type="image/bmp")

    app = web.Application()
    app.add_routes(
        [
            web.get("/", top),
            web.get(r"/{folder:\d+}/", folder),
            web.get(r"/{folder:\d+}/{image:\d+}.bmp", image),
        ]
    )

    def tell(text: str) -> None:
        if "http" in text:
            sys.stdout.write(text.partition("127.0.0.1:")[2].split()[0] + "\n")
            sys.stdout.flush()

    web.run_app(app, host="127.0.0.1", port=0, print=tell, access_log=None)


@contextmanager
def running(count: int, log: Path) -> Iterator[str]:
    """Runs one in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "pt4al_backend.bench.scale.lake", str(count)]
    with log.open("wb") as errors, Popen(command, stdout=PIPE, stderr=errors) as process:  # noqa: S603 - our own module
        assert process.stdout is not None  # noqa: S101 - PIPE was given
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.terminate()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
