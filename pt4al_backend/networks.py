"""Networks: ResNet-18 (He et al. 2016) from torchvision's blocks, in two forms and any width.

The body keeps torchvision's parameter names, so that its ImageNet weights load into the ImageNet form at width 64. It
takes pixels as they are stored (uint8, or float in 0..255) and normalises them itself: a saved model needs nothing else.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from pt4al_backend.frames import SMALL, Shape

#: Mean and standard deviation of ImageNet's RGB channels in 0..1, what torchvision's weights expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Form:
    """Which ResNet-18: everything that decides the shapes of its weights.

    ``stem`` is ``small`` (3x3, stride 1, no pooling: the CIFAR variant) or ``imagenet`` (7x7, stride 2, pooling);
    ``width`` is the channels of the first stage, 64 in the published network.
    """

    stem: Literal["small", "imagenet"]
    width: int
    name: str = "resnet18"

    @classmethod
    def of(cls, shape: Shape, width: int) -> "Form":
        """The form for images of a shape."""
        return cls("small" if min(shape) <= SMALL else "imagenet", width)


#: The form that torchvision's ImageNet weights fit.
IMAGENET = Form("imagenet", 64)


def _stage(channels: int, planes: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels != planes:
        shortcut = nn.Sequential(nn.Conv2d(channels, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
    return nn.Sequential(BasicBlock(channels, planes, stride, shortcut), BasicBlock(planes, planes))


class Body(nn.Module):
    """Pixels [n, 3, S, S] in 0..255 to a feature map [n, features, s, s]; s = S/8 (small) or S/32."""

    mean: Tensor
    std: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        width = form.width
        self.form = form
        self.features = 8 * width
        small = form.stem == "small"
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False) if small else nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(width, width, 1)
        self.layer2 = _stage(width, 2 * width, 2)
        self.layer3 = _stage(2 * width, 4 * width, 2)
        self.layer4 = _stage(4 * width, 8 * width, 2)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = (images.float() / 255 - self.mean) / self.std
        x = self.maxpool(self.relu(self.bn1(self.conv1(x.contiguous(memory_format=torch.channels_last)))))
        feature_map: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return feature_map

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Takes torchvision's weights of the whole network; its classification layer is left out.

        Raises:
            RuntimeError: another form than ImageNet's at width 64.
        """
        own = {name: value for name, value in weights.items() if not name.startswith("fc.")}
        self.load_state_dict({**own, "mean": self.mean, "std": self.std})


class Classifier(nn.Module):
    """A body, global average pooling and a linear layer: pixels [n, 3, S, S] to float32 logits [n, outputs].

    Pooling and the linear layer run in float32 under autocast too: bfloat16 logits have so few digits that posteriors
    and losses of different images would tie.
    """

    def __init__(self, body: Body, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.features, outputs)

    def features(self, images: Tensor) -> Tensor:
        """The pooled features, float32 [n, features]."""
        feature_map: Tensor = self.body(images)
        return feature_map.float().mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(features)
        return logits
