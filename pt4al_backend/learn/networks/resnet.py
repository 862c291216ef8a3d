"""ResNet-18 (He et al. 2016), and the classifier on a body.

ResNet-18 comes in two forms and any width; it keeps torchvision's parameter names, so that ImageNet weights load into the
ImageNet form at width 64. The block is our own: torchvision takes each training process 1.5 s of CPU to import.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pt4al_backend.learn.networks.body import Body, ResNetForm, pooled


class Shortcut(nn.Conv2d):
    """A 1 x 1 convolution of every ``step``-th pixel, which are picked before it instead of by its stride.

    With a stride, oneDNN (3.7 and 3.12, in torch 2.8 and 2.14) writes beyond the gradient of the weights where channels are last,
    numbers are float32, and there are fewer input channels than a vector holds: 16 with AVX-512, 8 with AVX2. The process then
    dies at some later point.
    """

    def __init__(self, channels: int, planes: int, step: int) -> None:
        super().__init__(channels, planes, 1, bias=False)
        self.step = step

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images[:, :, :: self.step, :: self.step])


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, to whose result the input is added, or what ``downsample`` makes of it."""

    def __init__(self, channels: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, maps: Tensor) -> Tensor:
        kept = maps if self.downsample is None else self.downsample(maps)
        changed = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(maps)))))
        changed += kept
        added: Tensor = self.relu(changed)
        return added


def _stage(channels: int, planes: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels != planes:
        shortcut = nn.Sequential(Shortcut(channels, planes, stride), nn.BatchNorm2d(planes))
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
        self.strides = (1, 2, 4, 8) if small else (4, 8, 16, 32)
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
