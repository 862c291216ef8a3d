"""Saved networks: loaded as they were, also by later versions, and refused when damaged or of another kind."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from segmentation_models_pytorch.decoders.deeplabv3 import decoder as library
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import PRETEXTS
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.learn import saved
from pt4al_backend.learn.networks import MEAN, STD, ResNetForm, build
from pt4al_backend.learn.pretext.base import Pretext

FORM = ResNetForm("small", 8)
SHAPE = (32, 48)


@pytest.fixture
def learner(tmp_path: Path) -> Path:
    with artefacts.writing(tmp_path / "learner", pretext="rotation", network=asdict(FORM)) as folder:
        saved.save(PRETEXTS.load("rotation", Pretext)(build(FORM)), folder)
    return tmp_path / "learner"


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_unreadable_weights_are_an_error_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "damaged"
    with artefacts.writing(target, pretext="rotation", network=asdict(FORM)) as folder:
        (folder / saved.WEIGHTS).write_bytes(content)
    with pytest.raises(StoreCorrupt, match="Delete"):
        saved.load_learner(target)


def test_learner_is_not_loaded_as_a_model(learner: Path) -> None:
    with pytest.raises(StoreCorrupt):
        saved.load_model(learner)


@pytest.mark.parametrize("architecture", ["deeplabv3", "deeplabv3plus"])
def test_segmenter_saved_with_the_librarys_decoder_loads_and_predicts_alike(tmp_path: Path, architecture: str) -> None:
    """Older versions used segmentation-models-pytorch's decoders, and saved weights under their names."""
    torch.manual_seed(0)
    stride: Any = 16 if architecture == "deeplabv3plus" else 8
    encoder = get_encoder("mobilenet_v2", weights=None, output_stride=stride).eval()
    decoder: torch.nn.Module
    if architecture == "deeplabv3plus":
        decoder = library.DeepLabV3PlusDecoder(encoder.out_channels, 5, 256, (6, 12, 18), stride, True, 0.5)
    else:
        decoder = library.DeepLabV3Decoder(encoder.out_channels[-1], 256, (12, 24, 36), False, 0.5)
    head = torch.nn.Conv2d(256, 3, 1)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    parts = {"body.net": encoder, "decoder": decoder, "head": head}
    state: dict[str, Tensor] = {"body.mean": mean, "body.std": std}
    for prefix, module in parts.items():
        state |= {f"{prefix}.{name}": value for name, value in module.state_dict().items()}
    manifest = {
        "task": "segmentation",
        "classes": ["ground", "sun", "sea"],
        "settings": ProjectSettings(encoder="mobilenet_v2", architecture=architecture).model_dump(mode="json"),
        "network": {"encoder": "mobilenet_v2", "architecture": architecture, "kind": "encoder"},
        "shape": SHAPE,
        "stored": [36, 54],
        "device": "cpu",
    }
    with artefacts.writing(tmp_path / "model", **manifest) as folder:
        torch.save(state, folder / saved.WEIGHTS)

    model = saved.load_model(tmp_path / "model")
    assert (model.shape, model.stored, model.device) == (SHAPE, (36, 54), "cpu")
    images = torch.randint(0, 256, (2, 3, *SHAPE), dtype=torch.uint8)
    with torch.no_grad():
        theirs = head(decoder.eval()(encoder((images / 255 - mean) / std)))
        expected = F.interpolate(theirs, SHAPE, mode="bilinear", align_corners=False)
        torch.testing.assert_close(model.task.model.eval()(images), expected, rtol=0, atol=1e-5)
