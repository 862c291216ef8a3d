"""ImageNet weights of torchvision's networks, if they are on this machine or quickly downloaded.

They are looked for where torchvision keeps them (``TORCH_HOME``), then at torchvision's address. Without an answer within three
seconds training starts without them: many backends have no access to the internet.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import (
    MobileNet_V2_Weights,
    ResNet18_Weights,
    ResNet34_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
)

from pt4al_backend.learn.weights.download import fetch, is_intact
from pt4al_backend.learn.weights.places import kept_at

#: Where the weights of each network come from; the eight digits are the start of the file's SHA-256.
URLS: dict[str, str] = {
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet34": ResNet34_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
    "resnet101": ResNet101_Weights.IMAGENET1K_V1.url,
    "mobilenet_v2": MobileNet_V2_Weights.IMAGENET1K_V1.url,
}


def path(network: str) -> Path:
    """The file that holds the weights of a network, once they have been downloaded."""
    return kept_at(URLS[network])


def is_cached(network: str) -> bool:
    """Whether the weights of a network are on this machine, undamaged."""
    file = path(network)
    return file.is_file() and is_intact(file, URLS[network])


def load(network: str, mode: str, note: Callable[[str], None]) -> dict[str, Tensor] | None:
    """torchvision's state dict of a network of ``URLS``, or None.

    Args:
        network: its name.
        mode: ``auto`` may download; ``off`` uses none.
        note: gets a sentence for the user if there are none: why, and what to do.
    """
    target = path(network)
    if mode == "off":
        note("ImageNet weights are switched off (PT4AL_PRETRAINED=off).")
        return None
    if not is_cached(network):
        problem = fetch(URLS[network], target)
        if problem or not is_cached(network):
            note(
                f"No ImageNet weights: {problem or 'the file is damaged'}. To use them, put {target.name} "
                f"from {URLS[network]} into {target.parent}."
            )
            return None
    weights: dict[str, Any] = torch.load(target, map_location="cpu", weights_only=True)
    return weights
