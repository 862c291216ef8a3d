"""ImageNet weights of torchvision's networks, if they are on this machine or quickly downloaded.

They are looked for where torchvision keeps them (``TORCH_HOME``), then at torchvision's address. Without an answer within three
seconds training starts without them: many backends have no access to the internet.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pt4al_backend.learn.weights.download import fetch, is_intact
from pt4al_backend.learn.weights.search import kept_at

_FOLDER = "https://download.pytorch.org/models"
#: torchvision's addresses, copied: to import it costs 1.5 s of CPU. The eight digits are the start of the file's SHA-256.
URLS: dict[str, str] = {
    "resnet18": f"{_FOLDER}/resnet18-f37072fd.pth",
    "resnet34": f"{_FOLDER}/resnet34-b627a593.pth",
    "resnet50": f"{_FOLDER}/resnet50-0676ba61.pth",
    "resnet101": f"{_FOLDER}/resnet101-63fe2227.pth",
    "mobilenet_v2": f"{_FOLDER}/mobilenet_v2-b0353104.pth",
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
