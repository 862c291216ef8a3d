"""Speed of scoring as the product does it, from the image store to what is kept, against the bare forward pass."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import project_settings
from pt4al_backend.config.catalog import MAIN_TASKS, PRETEXTS
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape, choose
from pt4al_backend.learn import devices, networks
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.inference import infer, score, scoring_size
from pt4al_backend.learn.minibatches import Data, Minibatch
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.pretext.rotation import rotations
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import MainTask

BOUND_PERCENT = 90.0
REPEATS = 5
SHARES = {32: 1.0, 500: 0.2}  # side of the images as imported -> share of the images that are scored
SCENES = (128, 0.1)  # the same of the images that are segmented
CLASSES = tuple("abcdefghijk")  # as many as CamVid has


def measure(bench: Workbench) -> list[Line]:
    """Small images, large ones at the size that a CPU trains them at, and segmentation."""
    return [*(_ranking(bench, side, share) for side, share in SHARES.items()), _segmentation(bench, *SCENES)]


def _ranking(bench: Workbench, side: int, share: float) -> Line:
    device, shape, frame = place("classification", side)
    learner = PRETEXTS.load("rotation", Pretext)(
        networks.build(MAIN_TASKS.load("classification", MainTask).form(shape, project_settings(), device))
    )
    together = scoring_size(device, shape, learner.views)
    count = whole(bench, share, together)
    with FrameFile(stored(bench, frame, count), frame) as frames:
        images = StoredImages(frames, np.arange(count), Centre(shape))
        views = [rotations(part) for (part,) in decoded(images, count, together)]
        product, bare = times(lambda: score(learner, images, together, device=device), learner.model, views, device)
    return line(f"pretext scoring at {shape[0]} px", count, product, bare, "4 views each")


def _segmentation(bench: Workbench, side: int, share: float) -> Line:
    device, shape, frame = place("segmentation", side)
    kind, settings = MAIN_TASKS.load("segmentation", MainTask), project_settings()
    task = kind(networks.build(kind.form(shape, settings, device)), CLASSES, shape, settings)
    together = task.minibatch_limit(device)
    count = whole(bench, share, together)

    def take(_: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        task.interpret(rows)

    with FrameFile(stored(bench, frame, count), frame) as frames:
        images = StoredImages(frames, np.arange(count), Centre(shape))
        views = [part for (part,) in decoded(images, count, together)]
        product, bare = times(
            lambda: infer(task.model, task.predict, images, together, take, device=device), task.model, views, device
        )
    return line(f"segmentation scoring at {shape[1]} x {shape[0]} px", count, product, bare, f"{len(CLASSES)} classes")


def place(task: str, side: int) -> tuple[torch.device, Shape, Shape]:
    """Where images with sides of ``side`` pixels are looked at, and the shapes that they are looked at and stored in."""
    device = devices.choose("auto")
    return device, *choose(task, [(side, side)], gpu=device.type == "cuda")


def whole(bench: Workbench, share: float, together: int) -> int:
    """A number of images near this share that fills its minibatches: padding would be charged to the product alone."""
    return max(round(share * bench.sizes.images) // together, 1) * together


def stored(bench: Workbench, shape: Shape, count: int) -> Path:
    """A frame file of ``count`` pictures."""
    path = bench.folder / f"scoring-{shape[0]}.u8"
    pictures = type(bench.pictures)(shape[0])
    with FrameFile(path, shape) as frames:
        for k in range(count):
            frames.write(k, pictures.square(k))
    return path


def decoded(data: Data, count: int, together: int) -> list[Minibatch]:
    """The images, minibatch by minibatch, as the network takes them: nothing is left to do but the pass itself."""
    rng = np.random.default_rng(0)
    return [data.minibatch(part, rng) for part in np.split(np.arange(count), range(together, count, together))]


def times(
    work: Callable[[], object], model: nn.Module, views: list[Tensor], device: torch.device
) -> tuple[list[float], list[float]]:
    """Seconds of the product's work and of the forward pass alone, in turns."""
    product, bare = [], []
    work()  # warms up
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        product.append(time.perf_counter() - began)
        bare.append(_forward(model, views, device))
    return product, bare


def _forward(model: nn.Module, views: list[Tensor], device: torch.device) -> float:
    """Seconds of the forward pass over ``views``, from host memory until the last answer is there."""
    began = time.perf_counter()
    with torch.inference_mode(), devices.autocast(device):
        for part in views:
            model(part.to(device))[:1].cpu()
    return time.perf_counter() - began


def line(what: str, count: int, product: list[float], bare: list[float], of: str) -> Line:
    """The row of one kind of scoring, from the seconds that it and the bare forward pass took, run by run."""
    share = 100 * median(b / p for b, p in zip(bare, product, strict=True))
    speeds = f"{count / median(product):,.0f} against {count / median(bare):,.0f} images/s, {of}, n = {count:,}"
    return Line(f"{what}, share of the bare forward pass's speed", share, "%", BOUND_PERCENT, at_least=True, note=speeds)
