"""Drawn street scenes with a class for every pixel, for segmentation: they need no download, and are the same each time.

Below a sky lies a meadow with a road; houses, trees and, more rarely, cars stand on it, the nearer ones in front. A third
of the scenes is hard: at night, in fog, out of focus or with a noisy sensor.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("sky", "meadow", "road", "house", "tree", "car")
WIDTH, HEIGHT = 128, 96
HARD = 1 / 3

_SKY, _MEADOW, _ROAD, _HOUSE, _TREE, _CAR = range(len(CLASSES))
_FINE = 4  # how many times larger scenes are drawn: edges come out smooth

_Colour = tuple[int, int, int]
_Points = list[tuple[float, float]]
_Rng = np.random.Generator

_SKIES = ((116, 168, 222), (90, 140, 210), (190, 198, 206), (226, 160, 118))
_MEADOWS = ((86, 140, 62), (112, 150, 70), (150, 146, 82), (70, 118, 66))
_WALLS = ((206, 190, 160), (176, 92, 74), (222, 218, 210), (196, 150, 96), (150, 160, 170))
_ROOFS = ((128, 58, 48), (84, 74, 74), (150, 84, 56))
_CROWNS = ((52, 92, 44), (74, 106, 46), (40, 80, 58), (168, 106, 44))
_CARS = ((196, 36, 40), (36, 74, 170), (236, 196, 48), (232, 232, 232), (40, 44, 50))
_TRUNK, _GLASS, _TYRE, _LINE = (84, 62, 44), (60, 76, 96), (24, 24, 26), (214, 212, 200)

#: Strength and grain (pixels) of each class's texture.
_TEXTURES = {_SKY: (7, 24), _MEADOW: (15, 1), _ROAD: (6, 1), _HOUSE: (5, 2), _TREE: (22, 4), _CAR: (3, 1)}


def write(images: Path, masks: Path, count: int, seed: int = 0) -> None:
    """Writes ``count`` scenes as PNG files into ``images``, and their masks under the same names into ``masks``."""
    for folder in (images, masks):
        folder.mkdir(parents=True)
    (masks / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for number in range(count):
        picture, ids = scene(np.random.default_rng([seed, number]))
        name = f"scene-{number:03}.png"
        Image.fromarray(picture).save(images / name)
        Image.fromarray(ids).save(masks / name)


def scene(rng: _Rng) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One scene: RGB uint8 [96, 128, 3], and the index of each pixel's class uint8 [96, 128]."""
    canvas = _Canvas()
    horizon = rng.uniform(0.36, 0.56)
    canvas.rectangle(_SKY, _pick(rng, _SKIES), 0, 0, 1, horizon)
    canvas.rectangle(_MEADOW, _pick(rng, _MEADOWS), 0, horizon, 1, 1)
    near, far = rng.uniform(0.15, 0.85), rng.uniform(0.2, 0.8)  # where the road's middle meets the bottom and the horizon
    width = rng.uniform(0.16, 0.3)
    if rng.random() < 0.85:
        _road(canvas, horizon, near, far, width)
    things: list[tuple[float, _Draw, float]] = []  # how near, what, where
    for _ in range(rng.integers(0, 3)):
        things.append((rng.uniform(0.04, 0.5), _house, rng.random()))
    for _ in range(rng.integers(1, 5)):
        things.append((rng.uniform(0.04, 0.75), _tree, rng.random()))
    if rng.random() < 0.3:
        depth = rng.uniform(0.35, 0.85)
        things.append((depth, _car, far + (near - far) * depth + rng.uniform(-0.06, 0.06)))
    for depth, draw, x in sorted(things, key=lambda each: each[0]):
        draw(canvas, rng, x, horizon + depth * (1 - horizon), 0.7 + 1.2 * depth)
    return _photograph(canvas, rng)


class _Canvas:
    """A picture and its mask, drawn together; places are parts of the width and of the height."""

    def __init__(self) -> None:
        size = (WIDTH * _FINE, HEIGHT * _FINE)
        self.picture, self.ids = Image.new("RGB", size), Image.new("L", size)
        self._brush, self._pen = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.ids)

    def rectangle(self, kind: int, colour: _Colour, left: float, top: float, right: float, bottom: float) -> None:
        self.polygon(kind, colour, [(left, top), (right, top), (right, bottom), (left, bottom)])

    def polygon(self, kind: int, colour: _Colour, points: _Points) -> None:
        placed = [(x * WIDTH * _FINE, y * HEIGHT * _FINE) for x, y in points]
        self._brush.polygon(placed, fill=colour)
        self._pen.polygon(placed, fill=kind)

    def ellipse(self, kind: int, colour: _Colour, x: float, y: float, across: float, down: float) -> None:
        turns = np.linspace(0, 2 * math.pi, 40)
        self.polygon(kind, colour, [(x + across * math.cos(turn), y + down * math.sin(turn)) for turn in turns])


#: Draws a thing that stands at x and base, its size in proportion.
_Draw = Callable[[_Canvas, _Rng, float, float, float], None]


def _road(canvas: _Canvas, horizon: float, near: float, far: float, width: float) -> None:
    edges = [(far - 0.02, horizon), (far + 0.02, horizon), (near + width, 1.0), (near - width, 1.0)]
    canvas.polygon(_ROAD, (116, 114, 116), edges)
    for start in (0.12, 0.3, 0.55, 0.8):
        dash = [(far + (near - far) * part, part) for part in (start, start + 0.1)]
        line = [(x + side * 0.012 * part, horizon + part * (1 - horizon)) for x, part in dash for side in (-1, 1)]
        canvas.polygon(_ROAD, _LINE, [line[0], line[1], line[3], line[2]])


def _house(canvas: _Canvas, rng: _Rng, x: float, base: float, size: float) -> None:
    across, up, roof = size * rng.uniform(0.1, 0.17), size * rng.uniform(0.16, 0.26), size * rng.uniform(0.08, 0.16)
    top = base - up
    canvas.rectangle(_HOUSE, _pick(rng, _WALLS), x - across, top, x + across, base)
    canvas.polygon(_HOUSE, _pick(rng, _ROOFS), [(x - 1.15 * across, top), (x, top - roof), (x + 1.15 * across, top)])
    for column in (-0.5, 0.5):
        left, upper = x + (column - 0.2) * across, top + 0.25 * up
        canvas.rectangle(_HOUSE, _GLASS, left, upper, left + 0.4 * across, upper + 0.3 * up)


def _tree(canvas: _Canvas, rng: _Rng, x: float, base: float, size: float) -> None:
    up, across, colour = size * rng.uniform(0.2, 0.34), size * rng.uniform(0.05, 0.09), _pick(rng, _CROWNS)
    canvas.rectangle(_TREE, _TRUNK, x - 0.15 * across, base - 0.5 * up, x + 0.15 * across, base)
    if rng.random() < 0.4:  # a fir
        canvas.polygon(_TREE, colour, [(x - across, base - 0.2 * up), (x, base - 1.2 * up), (x + across, base - 0.2 * up)])
        return
    for _ in range(4):
        dx, dy = rng.uniform(-0.4, 0.4) * across, rng.uniform(-0.15, 0.15) * up
        canvas.ellipse(_TREE, colour, x + dx, base - 0.7 * up + dy, across, 0.3 * up)


def _car(canvas: _Canvas, rng: _Rng, x: float, base: float, size: float) -> None:
    half, up, colour = 0.085 * size, 0.06 * size, _pick(rng, _CARS)
    cabin = [(-0.6, 1.9), (0.4, 1.9), (0.75, 1.0), (-0.8, 1.0)]
    canvas.polygon(_CAR, _GLASS, [(x + across * half, base - above * up) for across, above in cabin])
    canvas.rectangle(_CAR, colour, x - half, base - 1.1 * up, x + half, base - 0.2 * up)
    canvas.rectangle(_CAR, colour, x - 0.6 * half, base - 2 * up, x + 0.4 * half, base - 1.75 * up)
    for wheel in (-0.55, 0.55):
        canvas.ellipse(_CAR, _TYRE, x + wheel * half, base - 0.2 * up, 0.22 * half, 0.22 * half * WIDTH / HEIGHT)


def _photograph(canvas: _Canvas, rng: _Rng) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What a camera sees of a canvas, with each class's texture, and the canvas's mask at that size."""
    size = (WIDTH, HEIGHT)
    ids = np.asarray(canvas.ids.resize(size, Image.Resampling.NEAREST))
    seen = np.asarray(canvas.picture.resize(size, Image.Resampling.BOX), dtype=np.float64)
    for kind, (strength, grain) in _TEXTURES.items():
        seen += strength * np.where(ids == kind, _noise(rng, grain), 0)[..., None]
    seen += rng.uniform(-8, 8, 3) + np.linspace(10, -10, HEIGHT)[:, None, None]
    trouble = rng.integers(0, 4) if rng.random() < HARD else -1
    if trouble == 0:  # night
        seen = seen * rng.uniform(0.22, 0.35) + (0, 4, 14)
    elif trouble == 1:  # fog
        seen += rng.uniform(0.6, 0.78) * (196 - seen)
    elif trouble == 2:  # a noisy sensor
        seen += rng.normal(0, rng.uniform(28, 42), seen.shape)
    picture = Image.fromarray(np.clip(np.rint(seen + rng.normal(0, 3, seen.shape)), 0, 255).astype(np.uint8))
    if trouble == 3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 2.5)))
    return np.asarray(picture), ids


def _noise(rng: _Rng, grain: int) -> NDArray[np.float64]:
    """Noise [96, 128] of deviation 1 with grains of ``grain`` pixels."""
    rough = rng.normal(size=(HEIGHT // grain + 2, WIDTH // grain + 2)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(rough).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float64)
    return np.asarray(smooth / smooth.std())


def _pick(rng: _Rng, colours: tuple[_Colour, ...]) -> _Colour:
    return colours[rng.integers(len(colours))]
