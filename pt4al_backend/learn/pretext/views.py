"""Random views of images, as tensors on any device: resized crops, colour jitter, blur.

Each function takes images [m, 3, H, W] in 0..255 and a ``count`` of draws: m for a view of each image, or 1 for the same view
of all. Strengths are SimSiam's (Chen & He 2021). Not as there: a crop keeps the frame's aspect within 3/4 and
4/3; jitter has a fixed order, its hue is turned about the axis of grey, and it is clipped once at the end.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

#: Largest standard deviation of the blur as a part of the frame's shorter side: 2 pixels of 224.
MOST_BLUR = 2 / 224
#: Shares of red, green and blue in what jitter takes for lightness.
LUMA = (0.299, 0.587, 0.114)
#: Standard deviation in pixels that leaves an image as it is.
NO_BLUR = 0.01


def _on_device_of(values: NDArray[np.float64], images: Tensor) -> Tensor:
    """Numbers as float32 on the images' device; few, so that copying them to a GPU is not waited for."""
    return torch.from_numpy(values).to(images.device, torch.float32, non_blocking=True)


def cropped(images: Tensor, count: int, rng: np.random.Generator, *, least: float) -> Tensor:
    """Crops of ``least`` (0..1) to all of the area, enlarged to the frame's size, half of them mirrored; float32."""
    stretch = np.exp(rng.uniform(-0.5, 0.5, count) * math.log(4 / 3))
    reach = np.minimum(1, np.sqrt(rng.uniform(least, 1, count)) * np.stack([stretch, 1 / stretch]))
    centre = rng.uniform(-1, 1, (2, count)) * (1 - reach)
    reach[1] *= rng.choice([-1, 1], count)
    m, _, height, width = images.shape
    rows, columns = (
        middle[:, None] + half[:, None] * ((2 * torch.arange(length, device=images.device) + 1) / length - 1)
        for length, middle, half in zip((height, width), _on_device_of(centre, images), _on_device_of(reach, images), strict=True)
    )
    grid = torch.stack([columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], 3)
    return F.grid_sample(images.float(), grid.expand(m, -1, -1, -1), padding_mode="border", align_corners=False)


def jittered(images: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation (by up to 0.4) and hue (by up to 0.1 turns) of 80 % changed, 20 % grey; float32."""
    changed = rng.random(count) < 0.8
    factors = np.where(changed, rng.uniform(0.6, 1.4, (3, count)), 1.0)
    factors[2, rng.random(count) < 0.2] = 0.0
    angle = np.where(changed, rng.uniform(-0.1, 0.1, count), 0.0) * 2 * math.pi
    brightness, contrast, saturation = _on_device_of(factors, images).view(3, count, 1, 1, 1)
    cosine, sine = _on_device_of(np.stack([np.cos(angle), np.sin(angle)]), images).view(2, count, 1, 1, 1)
    luma = (images * _on_device_of(np.array(LUMA), images).view(3, 1, 1)).sum(1, keepdim=True)
    chroma = images - luma
    across = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / math.sqrt(3)
    turned = cosine * chroma + sine * across + (1 - cosine) * chroma.mean(1, keepdim=True)
    middle = luma.mean((2, 3), keepdim=True)
    seen: Tensor = brightness * (middle + contrast * (luma - middle + saturation * turned))
    return seen.clamp(0, 255)


def blurred(images: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Half of them blurred by a Gaussian of 5 % to 100 % of the largest standard deviation; float32."""
    most = MOST_BLUR * min(images.shape[2:])
    sigma = np.where(rng.random(count) < 0.5, rng.uniform(0.05 * most, most, count), NO_BLUR)
    reach = math.ceil(3 * most)
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-((steps[:, None] / sigma) ** 2) / 2)
    weights = _on_device_of(kernel / kernel.sum(0), images).view(-1, count, 1, 1, 1)
    for axis, edges in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        padded = F.pad(images.float(), edges, mode="replicate")
        shifted = [weight * padded.narrow(axis, k, images.shape[axis]) for k, weight in enumerate(weights)]
        images = torch.stack(shifted).sum(0)
    return images
