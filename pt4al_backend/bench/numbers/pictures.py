"""Ten thousand small images that differ: scikit-learn's handwritten digits, enlarged, coloured and shifted."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.bench.numbers.local_server import Handler, LocalServer, body_of, respond

CLASSES = tuple("0123456789")


class Pictures:
    """Picture ``k`` of any number: a square of ``size`` pixels, the same in every run."""

    def __init__(self, size: int = 32) -> None:
        self.size = size

    @cached_property
    def _digits(self) -> Any:
        from sklearn.datasets import load_digits

        return load_digits()

    def label(self, k: int) -> str:
        """The digit that picture ``k`` shows."""
        return str(self._digits.target[k % len(self._digits.target)])

    def square(self, k: int) -> NDArray[np.uint8]:
        """uint8 [size, size, 3]."""
        rng = np.random.default_rng(k)
        scan = self._digits.images[k % len(self._digits.images)] / 16.0
        ink, paper = rng.integers(128, 256, 3), rng.integers(0, 96, 3)
        coloured = paper + scan[:, :, None] * (ink - paper)
        large = np.asarray(Image.fromarray(coloured.astype(np.uint8)).resize((self.size, self.size), Image.Resampling.BICUBIC))
        noisy = large + rng.integers(-8, 9, large.shape)
        return np.asarray(noisy.clip(0, 255), np.uint8)

    def png(self, k: int) -> bytes:
        """Picture ``k`` as a file."""
        file = io.BytesIO()
        Image.fromarray(self.square(k)).save(file, "PNG")
        return file.getvalue()


class PictureServer:
    """Serves ``/k.png`` on this machine, and keeps the bodies that are posted to it: what Label Studio sends to webhooks."""

    def __init__(self, url: str, posted: list[bytes]) -> None:
        self.url = url
        self.posted = posted

    def address(self, k: int) -> str:
        """Where picture ``k`` is."""
        return f"{self.url}/{k}.png"


@contextmanager
def picture_server(pictures: Pictures, count: int) -> Iterator[PictureServer]:
    """Serves the first ``count`` pictures, encoded beforehand so that serving costs the measured processes little."""
    files = [pictures.png(k) for k in range(count)]
    posted: list[bytes] = []

    def answer(handler: Handler) -> None:
        if handler.command == "POST":
            posted.append(body_of(handler))
            respond(handler, 200, b"")
            return
        name = handler.path.strip("/").removesuffix(".png")
        known = name.isdecimal() and int(name) < count
        respond(handler, 200 if known else 404, files[int(name)] if known else b"")

    with LocalServer(answer) as server:
        yield PictureServer(server.url, posted)
