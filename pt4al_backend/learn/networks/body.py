"""The body that every network is built on, and its form.

A body takes pixels as they are stored (uint8, or float in 0..255) and normalises them itself: a saved model needs no
preprocessing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from pt4al_backend.images.frames import SMALL, Shape

#: Mean and standard deviation of ImageNet's RGB channels in 0..1, what torchvision's weights expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ResNetForm:
    """A ResNet-18's form: everything that decides the shapes of its weights.

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


Architecture = Literal["deeplabv3plus", "deeplabv3", "dpt"]
#: Pixels of the image for one of the last feature map, along a side, that a segmenter wants.
STRIDES: Mapping[Architecture, int] = {"deeplabv3plus": 16, "deeplabv3": 8, "dpt": 32}


@dataclass(frozen=True)
class EncoderForm:
    """An encoder's form; the ``architecture`` of the segmenter on it decides how far it shrinks an image."""

    encoder: str
    architecture: Architecture
    kind: Literal["encoder"] = "encoder"

    @property
    def stride(self) -> int:
        """Pixels of the image for one of the last feature map, along a side."""
        return STRIDES[self.architecture]

    @property
    def imagenet(self) -> str | None:
        """The network of torchvision's whose ImageNet weights fit."""
        return self.encoder


#: Of an encoder that is trained as well, and of one that stays as it is: that sees each image once, and has seen large ones
#: (docs/results/saved.md).
LEAST_SIDE, LEAST_SIDE_FROZEN = 64, 128


@dataclass(frozen=True)
class TimmForm:
    """A network of timm's, by its name there with the tag of its weights; ``architecture`` is a segmenter's, if one is on it.

    ``least_side``: pixels of the shorter side that an image is enlarged to at least, by a whole number; None: ``LEAST_SIDE``.
    """

    encoder: str
    architecture: Architecture | Literal[""] = ""
    least_side: int | None = None
    kind: Literal["timm"] = "timm"

    @property
    def stride(self) -> int:
        """Pixels of the image for one of the last feature map, along a side, where the network can be dilated to that."""
        return STRIDES[self.architecture] if self.architecture else max(STRIDES.values())

    @property
    def imagenet(self) -> str | None:
        """None of torchvision's weights fit: timm has its own (see ``weights``)."""
        return None


Form = ResNetForm | EncoderForm | TimmForm


class Body(nn.Module, ABC):
    """Pixels [n, 3, H, W] in 0..255 to a feature map [n, features, h, w]: what pretext learner and main task share."""

    mean: Tensor
    std: Tensor
    form: Form
    features: int
    widths: tuple[int, ...]  #: channels of ``maps``
    strides: tuple[int, ...]  #: pixels of the image for one of each of ``maps``, along a side
    #: What each of ``levels`` learns at, of the learning rate of the level above it, once it has weights from elsewhere.
    layer_decay: ClassVar[float] = 1.0
    rate_share: float = 1.0  #: of the learning rate that networks with batch normalisation stand

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self._is_frozen = False

    def freeze(self) -> None:
        """Keeps weights and statistics as they are, whatever is trained on it."""
        self._is_frozen = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self._is_frozen)

    def normalised(self, images: Tensor) -> Tensor:
        """Pixels [n, 3, H, W] in 0..255 as the network's first layer expects them: float32, by ImageNet's mean and deviation."""
        return ((images.float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of four depths, the shallowest first; the last is what ``forward`` gives."""

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images)[-1]

    def levels(self) -> list[list[nn.Parameter]]:
        """All weights by depth, those next to the pixels first."""
        return [list(self.parameters())]

    @abstractmethod
    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Takes torchvision's weights of the whole network; its classification layer is left out.

        Raises:
            RuntimeError: they are of another network than ``form.imagenet``.
        """


def pooled(feature_map: Tensor) -> Tensor:
    """The mean over the places of a feature map, float32: [n, features, h, w] -> [n, features]."""
    return feature_map.float().mean((2, 3))
