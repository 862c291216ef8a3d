"""Speed of pretext scoring as the product does it, from the image store to losses, against the bare forward pass."""

import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from pt4al_backend import devices, pretext
from pt4al_backend.augmentation import Centre
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.frames import Shape, choose
from pt4al_backend.minibatches import Images
from pt4al_backend.networks import Body, Form
from pt4al_backend.pixels import Pixels
from pt4al_backend.pretext.base import Pretext
from pt4al_backend.pretext.rotation import rotations
from pt4al_backend.training import score, scoring_size

BOUND_PERCENT = 90.0
REPEATS = 5
SHARES = {32: 1.0, 500: 0.2}  # side of the images as imported -> share of the images that are scored


def measure(bench: Workbench) -> list[Line]:
    """Small images, and large ones at the size that a CPU trains them at."""
    lines = []
    for side, share in SHARES.items():
        shape, stored = choose("classification", [(side, side)], gpu=devices.choose("auto").type == "cuda")
        lines.append(_measure(bench, shape, stored, max(32, round(share * bench.sizes.images))))
    return lines


def _measure(bench: Workbench, shape: Shape, stored: Shape, count: int) -> Line:
    device = devices.choose("auto")
    learner = pretext.load("rotation")(Body(Form.of(shape, 64 if device.type == "cuda" else 16)))
    together = scoring_size(device, shape, learner.views)
    count -= count % together  # a last minibatch that is filled up would be charged to the product alone
    count = max(count, together)
    with Pixels(_stored(bench, stored, count), stored) as pixels:
        images = Images(pixels, np.arange(count), Centre(shape))
        views = _views(images, count, together)
        product, bare = [], []
        score(learner, images, together, device=device)  # warms up
        for _ in range(REPEATS):
            began = time.perf_counter()
            score(learner, images, together, device=device)
            product.append(time.perf_counter() - began)
            bare.append(_forward(learner, views, device))
    share = 100 * median(b / p for b, p in zip(bare, product, strict=True))
    speeds = f"{count / median(product):,.0f} against {count / median(bare):,.0f} images/s, 4 views each, n = {count:,}"
    what = f"pretext scoring at {shape[0]} px, share of the bare forward pass's speed"
    return Line(what, share, "%", BOUND_PERCENT, at_least=True, note=speeds)


def _stored(bench: Workbench, shape: Shape, count: int) -> Path:
    """A pixel file of ``count`` pictures."""
    path = bench.folder / f"scoring-{shape[0]}.u8"
    pictures = type(bench.pictures)(shape[0])
    with Pixels(path, shape) as pixels:
        for k in range(count):
            pixels.write(k, pictures.square(k))
    return path


def _views(images: Images, count: int, together: int) -> list[Tensor]:
    """The decoded views, minibatch by minibatch, as the network takes them: nothing is left to do but the forward pass."""
    rng = np.random.default_rng(0)
    parts = np.split(np.arange(count), range(together, count, together))
    return [rotations(images.minibatch(part, rng)[0]) for part in parts]


def _forward(learner: Pretext, views: list[Tensor], device: torch.device) -> float:
    """Seconds of the forward pass over ``views``, from host memory to host memory."""
    began = time.perf_counter()
    with torch.inference_mode(), devices.autocast(device):
        for part in views:
            learner.model(part.to(device)).cpu()
    return time.perf_counter() - began
