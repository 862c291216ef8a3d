"""Inference: one pass of a model over many images, the same for an image whatever it is scored with."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pt4al_backend.images.frames import Shape
from pt4al_backend.learn import peers
from pt4al_backend.learn.devices import autocast
from pt4al_backend.learn.minibatches import Data, Minibatch, cut_exactly, stream
from pt4al_backend.learn.objective import Objective
from pt4al_backend.learn.placement import placed
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, silent

#: Images [m, 3, H, W] to tensors of m rows each.
Predict = Callable[[Tensor], tuple[Tensor, ...]]
#: Takes positions, int64 [m], and what ``Predict`` gave of the images there, as arrays.
Collect = Callable[[NDArray[np.int64], tuple[NDArray[Any], ...]], None]


def scoring_size(device: torch.device, shape: Shape, views: int, classes: int = 0) -> int:
    """Images in a minibatch of inference: at most 256 views of 64 pixels on a CPU (more is slower there), 2,048 on a GPU.

    Args:
        device: where inference runs.
        shape: of the images.
        views: forward passes that one image takes.
        classes: of a segmenter, which has a logit for each of them at each pixel. Its minibatches have an eighth of the pixels,
            as its feature maps are larger, and fewer above 16 classes, as the logits are held several times while they are
            reduced.
    """
    limit = (2**20 if device.type == "cpu" else 2**26) // (shape[0] * shape[1])
    if classes:
        limit //= 8 * math.ceil(classes / 16)
    return max(2, min(limit, 256 if device.type == "cpu" else 2048) // views)


def infer(
    model: nn.Module,
    predict: Predict,
    data: Data,
    minibatch_size: int,
    collect: Collect,
    *,
    device: torch.device,
    phase: Phase = Phase.SCORING,
    report: Report = silent,
    everywhere: bool = True,
) -> None:
    """Hands ``predict``'s rows for all of ``data``, in its order, to ``collect``.

    Of several peers each computes a share, and gets the rows of all, or with ``everywhere`` off its own alone.

    Every forward pass has ``minibatch_size`` images, the last one filled up with black: kernels are chosen by shape, and an
    image's rows must not depend on how many others are scored with it.

    Raises:
        TrainingImpossible: memory runs out with two images as well.
    """
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    size = minibatch_size

    def step(part: NDArray[np.int64], minibatch: Minibatch, _: np.random.Generator, done: int) -> None:
        images = minibatch[0]
        full = torch.zeros((size, *images.shape[1:]), dtype=images.dtype, device=device)
        full[: len(images)] = images
        share = peers.share_of(part)
        with torch.inference_mode(), autocast(device):
            rows = tuple(tensor[: len(share)].cpu().numpy() for tensor in predict(full))
        for positions, found in peers.gathered((share, rows)) if everywhere else [(share, rows)]:
            if len(positions):
                collect(positions, found)
        report(Progress(phase, 1, 1, done + len(part), len(data)))

    def retreat(smaller: int) -> None:
        nonlocal size
        size = smaller
        report(Progress(phase, 1, 1, 0, len(data), f"Memory ran out: scoring {smaller} images at a time."))

    together = size * peers.count()
    stream(placed(data, device), np.arange(len(data)), together, cut=cut_exactly, seeds=(0,), step=step, retreat=retreat)


def score(
    objective: Objective,
    data: Data,
    minibatch_size: int,
    *,
    device: torch.device,
    phase: Phase = Phase.SCORING,
    report: Report = silent,
) -> NDArray[Any]:
    """The objective's scores of all of ``data``, [n, outputs], in its order."""
    parts: list[NDArray[Any]] = []

    def collect(_: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        parts.append(rows[0])

    infer(
        objective.model,
        lambda images: (objective.scores(images),),
        data,
        minibatch_size,
        collect,
        device=device,
        phase=phase,
        report=report,
    )
    return np.concatenate(parts) if parts else np.empty((0, objective.outputs), dtype=np.float64)
