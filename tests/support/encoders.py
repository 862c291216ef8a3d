"""A tiny encoder of timm's with weights in a folder, which no test has to download."""

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

#: 99,196 weights, 256 features.
ENCODER = "test_efficientnet.r160_in1k"


def weights_dir(folder: Path, encoder: str = ENCODER, seed: int = 0) -> Path:
    """Writes fresh weights of an encoder into a folder, as PT4AL_WEIGHTS_DIR holds them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = timm.create_model(encoder, pretrained=False)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / f"{encoder}.safetensors")
    return folder
