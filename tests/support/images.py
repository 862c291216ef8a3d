"""Small images for tests, the same each time: a tiny network can tell their classes apart, and which way is up."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pt4al_backend.images.mask_files import UNLABELLED

#: Classes, and the colour that tells them.
COLOURS = {"red": (200, 60, 50), "green": (60, 170, 70), "blue": (50, 80, 200)}
CLASSES = tuple(COLOURS)

#: A labeling config that asks for them.
LABEL_CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="colour" toName="image">'
    + "".join(f'<Choice value="{name}"/>' for name in CLASSES)
    + "</Choices></View>"
)


def class_of(number: int) -> str:
    """The class of the image with this number: they take turns."""
    return CLASSES[number % len(CLASSES)]


def arrow(number: int, size: int = 32) -> Image.Image:
    """An arrow that points up, somewhere near the middle, on a grainy ground; harder to see the higher the number mod 8."""
    rng = np.random.default_rng(number)
    ground = rng.integers(150, 200, (size, size, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    _paint(image, number, COLOURS[class_of(number)])
    return image


def _paint(image: Image.Image, number: int, colour: tuple[int, int, int]) -> None:
    size, draw = image.width, ImageDraw.Draw(image)
    rng = np.random.default_rng([number])
    width = size * (0.34 - 0.02 * (number % 8))
    x, y = size * (0.5 + rng.uniform(-0.1, 0.1)), size * (0.5 + rng.uniform(-0.1, 0.1))
    draw.polygon([(x, y - width), (x - width, y), (x + width, y)], fill=colour)
    draw.rectangle([x - width / 4, y, x + width / 4, y + width], fill=colour)


def arrow_ids(number: int, class_id: int, size: int = 32) -> NDArray[np.uint8]:
    """The mask of an arrow: ``class_id`` where it is, unlabelled around it."""
    ground = Image.new("RGB", (size, size))
    _paint(ground, number, (1, 1, 1))
    return np.where(np.asarray(ground)[:, :, 0] > 0, class_id, UNLABELLED).astype(np.uint8)


def flat(number: int, size: int = 32) -> Image.Image:
    """One of 150 shades of grey: no class, and no way up."""
    return Image.new("RGB", (size, size), (60 + number % 150,) * 3)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def save(folder: Path, images: Sequence[Image.Image], first: int = 0) -> list[Path]:
    """Writes images as PNG files, named by their number; returns the paths."""
    return save_files(folder, ((f"{number:04d}.png", encoded(image)) for number, image in enumerate(images, first)))


def save_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> list[Path]:
    """Writes files by name; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in files:
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    return paths


def header_bomb(side: int = 30_000) -> bytes:
    """A PNG of a few bytes whose header promises ``side`` times ``side`` pixels."""
    content = bytearray(encoded(flat(0)))
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)
