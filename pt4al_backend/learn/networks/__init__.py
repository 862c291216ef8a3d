"""Networks: what a body is, ResNet-18 (He et al. 2016) from torchvision's blocks, and the classifier on a body.

A body takes pixels as they are stored (uint8, or float in 0..255) and normalises them itself: a saved model needs nothing
else. ResNet-18 comes in two forms and any width; it keeps torchvision's parameter names, so that ImageNet weights load
into the ImageNet form at width 64. The bodies of segmentation are in ``encoders``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from pt4al_backend.images.frames import SMALL, Shape

#: Mean and standard deviation of ImageNet's RGB channels in 0..1, what torchvision's weights expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ResNetForm:
    """Which ResNet-18: everything that decides the shapes of its weights.

    ``stem`` is ``small`` (3x3, stride 1, no pooling: the CIFAR variant) or ``imagenet`` (7x7, stride 2, pooling);
    ``width`` is the channels of the first stage, 64 in the published network.
    """

    stem: Literal["small", "imagenet"]
    width: int
    kind: Literal["resnet18"] = "resnet18"

    @classmethod
    def of(cls, shape: Shape, width: int) -> "ResNetForm":
        """The form for images of a shape."""
        return cls("small" if min(shape) <= SMALL else "imagenet", width)

    @property
    def imagenet(self) -> str | None:
        """The network of torchvision's whose ImageNet weights fit, if any."""
        return "resnet18" if self == IMAGENET else None


#: The form that torchvision's ImageNet weights fit.
IMAGENET = ResNetForm("imagenet", 64)


@dataclass(frozen=True)
class EncoderForm:
    """Which encoder under which segmenter: ``architecture`` decides how far it shrinks an image."""

    encoder: str
    architecture: Literal["deeplabv3plus", "deeplabv3"]
    kind: Literal["encoder"] = "encoder"

    @property
    def stride(self) -> int:
        """Pixels of the image for one of the last feature map, along a side."""
        return 16 if self.architecture == "deeplabv3plus" else 8

    @property
    def imagenet(self) -> str | None:
        """The network of torchvision's whose ImageNet weights fit."""
        return self.encoder


Form = ResNetForm | EncoderForm


def form_of(network: Mapping[str, Any]) -> Form:
    """The form that ``dataclasses.asdict`` put into a manifest.

    Raises:
        KeyError, TypeError: it describes no form.
    """
    kinds: dict[str, type[Form]] = {"resnet18": ResNetForm, "encoder": EncoderForm}
    return kinds[network["kind"]](**network)


def build(form: Form) -> "Body":
    """A body of a form, with fresh weights."""
    if isinstance(form, EncoderForm):
        from pt4al_backend.learn.networks.segmenter import Encoder  # a library that only segmentation needs

        return Encoder(form)
    return ResNet18(form)


class Body(nn.Module, ABC):
    """Pixels [n, 3, H, W] in 0..255 to a feature map [n, features, h, w]: what pretext learner and main task share."""

    mean: Tensor
    std: Tensor
    form: Form
    features: int
    widths: tuple[int, ...]  #: channels of ``maps``

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def normalised(self, images: Tensor) -> Tensor:
        """Pixels as the network's first layer takes them."""
        return ((images.float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of four depths, the shallowest first; the last is what ``forward`` gives."""

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images)[-1]

    @abstractmethod
    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Takes torchvision's weights of the whole network; its classification layer is left out.

        Raises:
            RuntimeError: they are of another network than ``form.imagenet``.
        """


def _stage(channels: int, planes: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels != planes:
        shortcut = nn.Sequential(nn.Conv2d(channels, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
    return nn.Sequential(BasicBlock(channels, planes, stride, shortcut), BasicBlock(planes, planes))


class ResNet18(Body):
    """h = H/8 with the small stem, H/32 with ImageNet's."""

    def __init__(self, form: ResNetForm) -> None:
        super().__init__()
        width = form.width
        self.form = form
        self.widths = (width, 2 * width, 4 * width, 8 * width)
        self.features = self.widths[-1]
        small = form.stem == "small"
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False) if small else nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(width, width, 1)
        self.layer2 = _stage(width, 2 * width, 2)
        self.layer3 = _stage(2 * width, 4 * width, 2)
        self.layer4 = _stage(4 * width, 8 * width, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, images: Tensor) -> list[Tensor]:
        found = [self.maxpool(self.relu(self.bn1(self.conv1(self.normalised(images)))))]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            found.append(stage(found[-1]))
        return found[1:]

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        own = {name: value for name, value in weights.items() if not name.startswith("fc.")}
        self.load_state_dict({**own, "mean": self.mean, "std": self.std})


def pooled(feature_map: Tensor) -> Tensor:
    """The mean over the places of a feature map, float32: [n, features, h, w] -> [n, features]."""
    return feature_map.float().mean((2, 3))


class Classifier(nn.Module):
    """A body, global average pooling and a linear layer: pixels [n, 3, H, W] to float32 logits [n, outputs].

    Pooling and the linear layer run in float32 under autocast too: bfloat16 logits have so few digits that posteriors
    and losses of different images would tie.
    """

    def __init__(self, body: Body, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.features, outputs)

    def features(self, images: Tensor) -> Tensor:
        """The pooled features, float32 [n, features]."""
        return pooled(self.body(images))

    def logits(self, features: Tensor) -> Tensor:
        """What the linear layer makes of pooled features."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(features)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(self.features(images))
