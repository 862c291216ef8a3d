"""ResNet-18 in both forms, and ImageNet's weights in the one that they fit."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
from torchvision.models import resnet18

from pt4al_backend.learn.networks import IMAGENET, MEAN, STD, Classifier, EncoderForm, Form, ResNetForm, build, form_of


@pytest.mark.parametrize(("size", "stem", "side"), [(32, "small", 4), (64, "small", 8), (96, "imagenet", 3)])
def test_small_images_get_the_small_stem_and_larger_ones_imagenets(size: int, stem: str, side: int) -> None:
    form = ResNetForm.of((size, size), 8)
    assert form.stem == stem
    assert build(form)(torch.zeros((2, 3, size, size), dtype=torch.uint8)).shape == (2, 64, side, side)


@pytest.mark.parametrize("form", [ResNetForm("small", 8), EncoderForm("mobilenet_v2", "deeplabv3plus")])
def test_network_is_rebuilt_from_its_manifest(form: Form) -> None:
    body = build(form_of(json.loads(json.dumps(asdict(form)))))
    assert body.form == form
    body.load_state_dict(build(form).state_dict())
    assert body(torch.zeros((2, 3, 32, 48), dtype=torch.uint8)).shape[1] == body.features


TRAIN = """
import sys, torch
from torch.nn.functional import cross_entropy
from pt4al_backend.learn.networks import Classifier, ResNetForm, build
width, images, size, stem, threads = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
torch.set_num_threads(threads)
for _ in range(2):
    model = Classifier(build(ResNetForm(stem, width)), 3).to(memory_format=torch.channels_last)
    for _ in range(10):
        pixels = torch.randint(0, 255, (images, 3, size, size), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
        cross_entropy(model(pixels), torch.arange(images) % 3).backward()
"""


@pytest.mark.parametrize("width", [8, 13])
@pytest.mark.parametrize(
    ("images", "size", "stem", "threads"), [(7, 16, "small", 2), (13, 64, "small", 1), (3, 96, "imagenet", 2)]
)
def test_narrow_network_leaves_the_memory_beside_its_weights_alone(
    width: int, images: int, size: int, stem: str, threads: int
) -> None:
    """In a process of its own, which dies of it where the processor has wide vectors."""
    trained = subprocess.run(
        [sys.executable, "-c", TRAIN, *map(str, (width, images, size, stem, threads))], capture_output=True, check=False
    )
    assert trained.returncode == 0, trained.stderr[-2000:]


def test_imagenet_form_with_torchvisions_weights_gives_its_logits() -> None:
    reference = resnet18(weights=None).eval()
    body = build(IMAGENET).eval()
    body.load_imagenet(reference.state_dict())
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    normalised = (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        ours = reference.fc(body(images).mean((2, 3)))
        torch.testing.assert_close(ours, reference(normalised), rtol=1e-4, atol=1e-4)


def test_weights_of_another_form_are_refused() -> None:
    with pytest.raises(RuntimeError):
        build(ResNetForm("small", 64)).load_imagenet(resnet18(weights=None).state_dict())


def test_published_width_has_the_published_number_of_parameters() -> None:
    ours = sum(p.numel() for p in Classifier(build(IMAGENET), 1000).parameters())
    assert ours == sum(p.numel() for p in resnet18(weights=None).parameters())


def test_logits_are_float32_under_autocast() -> None:
    model = Classifier(build(ResNetForm.of((16, 16), 8)), 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(torch.zeros((2, 3, 16, 16), dtype=torch.uint8)).dtype == torch.float32
