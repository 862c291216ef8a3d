"""Drawn shapes, up to three kinds in an image, for multi-label classification: they need no download, and are the same each time.

A kind is its form, and has a colour of its own, but a fifth of all shapes is grey. Size, place and turn say nothing. A twelfth of
the images shows none. A third is hard: pale, with a noisy sensor, dark, or out of focus.
"""

import colorsys
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("circle", "cross", "ring", "square", "star", "triangle")
SIZE = 32
HARD = 1 / 3
NONE = 1 / 12
GREY = 1 / 5
MOST = 3
NAMES = "labels.json"

_FINE = 4  # how many times larger shapes are drawn: edges come out smooth
_CELLS = ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73))  # middles, in parts of the side: no shape hides another

_Rng = np.random.Generator
_Colour = tuple[int, ...]


def write(folder: Path, count: int, seed: int = 0) -> None:
    """Writes ``count`` images as PNG files into ``folder``, and what they show into ``labels.json``."""
    folder.mkdir(parents=True)
    shown: dict[str, tuple[str, ...]] = {}
    for number in range(count):
        name = f"shapes-{number:04}.png"
        picture, shown[name] = shapes(np.random.default_rng([seed, number]))
        Image.fromarray(picture).save(folder / name)
    (folder / NAMES).write_text(json.dumps(shown, indent=0))


def shapes(rng: _Rng) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """One image, RGB uint8 [32, 32, 3], and the kinds that it shows, in their order."""
    count = 0 if rng.random() < NONE else int(rng.integers(1, MOST + 1))
    kinds = sorted(rng.choice(len(CLASSES), count, replace=False).tolist())
    hard = int(rng.integers(0, 4)) if rng.random() < HARD else -1
    shade = int(rng.integers(110, 190))
    ground = (shade, shade, shade)
    canvas = Image.new("RGB", (SIZE * _FINE, SIZE * _FINE), ground)
    pen = ImageDraw.Draw(canvas)
    places = rng.permutation(len(_CELLS))[:count].tolist()
    for kind, place in zip(kinds, places, strict=True):
        hue = kind / len(CLASSES) + rng.normal(0, 0.03)
        strength = 0.0 if rng.random() < GREY else rng.uniform(0.55, 0.9)
        light = shade / 255 + float(rng.choice([-1, 1])) * 0.25
        colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, (0.4 if hard == 0 else 1) * strength, light))
        x, y = (SIZE * _FINE * (middle + rng.uniform(-0.05, 0.05)) for middle in _CELLS[place])
        radius = SIZE * _FINE * rng.uniform(0.14, 0.2)
        _draw(pen, CLASSES[kind], colour, ground, x, y, radius, rng.uniform(-0.3, 0.3))
    return _photograph(canvas, hard, rng), tuple(CLASSES[kind] for kind in kinds)


def _draw(
    pen: ImageDraw.ImageDraw, kind: str, colour: _Colour, ground: _Colour, x: float, y: float, radius: float, turn: float
) -> None:
    def around(*points: tuple[float, float]) -> list[tuple[float, float]]:
        """Corners from (angle in turns, distance in radii); 0 points up."""
        angles = [(2 * math.pi * angle + turn, radius * distance) for angle, distance in points]
        return [(x + distance * math.sin(angle), y - distance * math.cos(angle)) for angle, distance in angles]

    if kind in ("circle", "ring"):
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        if kind == "ring":
            hole = 0.55 * radius
            pen.ellipse([x - hole, y - hole, x + hole, y + hole], fill=ground)
    elif kind == "cross":
        for start in (0.0, 0.25):
            pen.line(around((start, 1), (start + 0.5, 1)), fill=colour, width=round(0.55 * radius))
    elif kind == "star":
        pen.polygon(around(*((corner / 10, 0.42 if corner % 2 else 1.1) for corner in range(10))), fill=colour)
    else:
        corners = {"square": 4, "triangle": 3}[kind]
        pen.polygon(around(*((corner / corners, 1.1) for corner in range(corners))), fill=colour)


def _photograph(canvas: Image.Image, hard: int, rng: _Rng) -> NDArray[np.uint8]:
    """What a camera sees of a canvas, lit from above, which tells which way is up."""
    seen = np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float64)
    seen += np.linspace(14, -14, SIZE)[:, None, None] + rng.normal(0, 22 if hard == 1 else 4, seen.shape)
    if hard == 2:
        seen *= rng.uniform(0.25, 0.4)
    picture = Image.fromarray(np.clip(np.rint(seen), 0, 255).astype(np.uint8))
    if hard == 3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.2, 1.8)))
    return np.asarray(picture)
