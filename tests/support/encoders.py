"""A tiny encoder of timm's with weights in a folder, which no test has to download."""

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

#: 99,196 weights, 256 features.
ENCODER = "test_efficientnet.r160_in1k"


def weights_dir(folder: Path, encoder: str = ENCODER, seed: int = 0, *, is_blind: bool = False) -> Path:
    """Writes fresh weights of an encoder into a folder, as PT4AL_WEIGHTS_DIR holds them.

    A blind one finds all images alike for as long as it stays as it is: the last scale before its features is zero.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = timm.create_model(encoder, pretrained=False)
    if is_blind:
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        torch.nn.init.zeros_(norms[-1].weight)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / f"{encoder}.safetensors")
    return folder
