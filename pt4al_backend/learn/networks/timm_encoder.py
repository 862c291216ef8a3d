"""An encoder of timm's as a body, pretrained elsewhere.

timm is imported when the first encoder is made; it downloads nothing here.
"""

import difflib
from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.errors import ConfigError
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.networks.body import LEAST_SIDE, Body, TimmForm

REMEDY = "Set encoder in the extra params to another; `pt4al weights list` prints some."
#: How names begin that give feature maps, and of four sizes if they are not transformers.
FITTING = ["resnet*", "resnext*", "regnet*", "convnext*", "efficientnet*", "tf_efficientnet*", "mobilenetv*", "swin*", "vit_*"]
#: What lets a network see images of any size: of vision transformers, of Swin, of others that need nothing.
ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
#: What networks raise that cannot do what is asked of them.
CANNOT = (AttributeError, TypeError, RuntimeError, AssertionError, ValueError, NotImplementedError)
DEPTHS = 4
#: Licences of weights that allow commercial use without a second look, and what the names of those hold that forbid it.
OPEN_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0")
FORBIDDING = ("-nc", "noncommercial", "apple-amlr")


class TimmEncoder(Body):
    """A network of timm's without its classification layer; the feature map of a vision transformer is that of its patches.

    For whole images the last of the ``maps`` is what timm pools. Under a segmenter they are of four stages, the first with 1/4 of
    the image's sides and the last with 1/``form.stride`` where timm can dilate the network, else 1/32. A network whose maps are
    all of one size gives those of four blocks in even intervals.
    """

    #: Common in fine-tuning (Howard and Ruder 2018 have 1 / 2.6 a layer; Bao et al. 2022 have 0.65 to 0.75 a block).
    layer_decay: ClassVar[float] = 0.75
    form: TimmForm
    net: Any

    def __init__(self, form: TimmForm) -> None:
        super().__init__()
        facts = facts_of(form.encoder)
        self.form = form
        self.mean = torch.tensor(facts.mean).view(1, 3, 1, 1)
        self.std = torch.tensor(facts.std).view(1, 3, 1, 1)
        sides = facts.input_size[1:]
        try:
            self.net = _built(form)
            self._patch = _patch(self.net)
            self._indices = _indices(self.net) if form.architecture else DEPTHS - 1
            self.net.eval()
            with torch.inference_mode():
                found = self.maps(torch.zeros(1, 3, *sides))
        except CANNOT as error:
            raise _unfit(form.encoder, "gives no feature maps") from error
        self.widths = tuple(part.shape[1] for part in found)
        self.strides = tuple(round(sides[0] / part.shape[2]) for part in found)
        self.features = self.widths[-1]
        self.rate_share = 0.2 if _is_plain(self.net) else 1.0  # at the whole rate a DPT diverges
        if form.architecture and self.strides[0] != 4 and not _is_plain(self.net):
            raise _unfit(form.encoder, "gives no map of 1/4 of an image's sides, which the segmenter needs")

    def require_shape(self, shape: Shape) -> None:
        """Refuses images that the network cannot see, or whose last pixels its patches would leave out.

        Raises:
            ConfigError: such a shape.
        """
        height, width = self._patch
        if not self.form.architecture and (shape[0] % height, shape[1] % width) != (0, 0):
            side = max(height, round(shape[0] / height) * height)
            raise ConfigError(
                f"The encoder {self.form.encoder!r} takes patches of {width} x {height} pixels, which do not tile images of "
                f"{shape[1]} x {shape[0]}.",
                f"Set image_size in the extra params to a multiple of {height}, such as {side}.",
            )
        try:
            with torch.inference_mode():
                self.maps(torch.zeros(1, 3, *shape))
        except CANNOT as error:
            side = facts_of(self.form.encoder).input_size[1]  # of a square, which a segmenter's images seldom are
            raise ConfigError(
                f"The encoder {self.form.encoder!r} cannot see images of {shape[1]} x {shape[0]} pixels.",
                REMEDY if self.form.architecture else f"Set image_size in the extra params to {side}, or encoder to another.",
            ) from error

    def normalised(self, images: Tensor) -> Tensor:
        """As of any body, but small images are enlarged: most encoders shrink them 32 times."""
        normalised = super().normalised(images)
        shorter, least = min(images.shape[2:]), self.form.least_side or LEAST_SIDE
        if shorter < least:  # last, as there are fewer pixels before
            return F.interpolate(normalised, scale_factor=ceil(least / shorter), mode="bilinear", align_corners=False)
        return normalised

    def maps(self, images: Tensor) -> list[Tensor]:
        seen, wanted = self._tiled(images), {"indices": self._indices, "output_fmt": "NCHW"}
        if self.form.architecture:
            return list(self.net.forward_intermediates(seen, **wanted, intermediates_only=True))
        last, maps = self.net.forward_intermediates(seen, **wanted)
        return [*maps, self._as_map(last, maps[-1].shape[2:])]

    def forward(self, images: Tensor) -> Tensor:
        if self.form.architecture or self._patch != (1, 1):
            return self.maps(images)[-1]
        found: Tensor = self._as_map(self.net.forward_features(self._tiled(images)), torch.Size())
        return found

    def _tiled(self, images: Tensor) -> Tensor:
        """Normalised images whose sides patches divide: their last pixels are repeated where there are too few."""
        below, right = (-side % patch for side, patch in zip(images.shape[2:], self._patch, strict=True))
        return self.normalised(F.pad(images.float(), (0, right, 0, below), mode="replicate") if below or right else images)

    def _as_map(self, features: Tensor, size: torch.Size) -> Tensor:
        """Features as a map [n, c, h, w]: from patches [n, t, c] behind their prefix, or from channels that come last."""
        if features.ndim == 3:
            patches = features[:, getattr(self.net, "num_prefix_tokens", 0) :]
            return patches.transpose(1, 2).reshape(len(features), -1, *size)
        return features.permute(0, 3, 1, 2) if getattr(self.net, "output_fmt", "NCHW") == "NHWC" else features

    def levels(self) -> list[list[nn.Parameter]]:
        """Stem, stages or blocks, and what is on them, as timm divides a network."""
        from timm.models import group_parameters

        if not hasattr(self.net, "group_matcher"):
            return super().levels()
        levels = group_parameters(self.net, self.net.group_matcher(coarse=True), return_values=True)
        return list(levels.values())

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        own = self.net.state_dict()
        given = {name: value for name, value in weights.items() if name in own}
        counted = {name for name in own if name.endswith("num_batches_tracked")}
        if missing := sorted(own.keys() - given.keys() - counted):
            raise RuntimeError(f"{missing[0]} is missing")
        self.net.load_state_dict(given, strict=False)


def _built(form: TimmForm) -> Any:
    """The network with fresh weights, dilated to the form's stride if timm can do that, for images of any size if it can."""
    import timm

    dilated: list[dict[str, Any]] = [{"output_stride": form.stride}] if form.architecture else []
    *preferred, last = [*dilated, *ANY_SIZE]
    for options in preferred:
        try:
            return timm.create_model(form.encoder, pretrained=False, num_classes=0, **options)
        except (TypeError, AssertionError, NotImplementedError):
            continue  # it knows no such option
    return timm.create_model(form.encoder, pretrained=False, num_classes=0, **last)


def _patch(net: Any) -> Shape:
    """Height and width of the patches that a network cuts images into and keeps; of one pixel if there are none."""
    size = net.patch_embed.patch_size if _is_plain(net) else 1
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _is_plain(net: Any) -> bool:
    """Whether all feature maps of a network have one size, as those of most vision transformers have."""
    return len({stage["reduction"] for stage in net.feature_info}) == 1


def _indices(net: Any) -> list[int]:
    """Which of a network's stages or blocks a segmenter sees: the last four, or four in even intervals of those of one size."""
    count = len(net.feature_info)
    if _is_plain(net):
        return [count * depth // DEPTHS - 1 for depth in range(1, DEPTHS + 1)]
    return list(range(count - DEPTHS, count))


def facts_of(encoder: str) -> Any:
    """timm's facts of a network with weights: addresses, licence, normalisation.

    Raises:
        ConfigError: timm knows no such network, or has no weights for it.
    """
    import timm

    facts = timm.get_pretrained_cfg(encoder, allow_unregistered=False) if timm.is_model(encoder) else None
    if facts is None or not (facts.url or facts.hf_hub_id):
        raise ConfigError(f"Setting 'encoder': timm has no weights of a network {encoder!r}.", _remedy(encoder, "*"))
    return facts


def licence_of(encoder: str) -> str:
    """The licence of an encoder's weights, and what has to be known of it before they are used.

    Raises:
        ConfigError: timm has no weights of such a network.
    """
    licence = facts_of(encoder).license or "unknown"
    if licence in OPEN_LICENCES:
        return str(licence)
    forbids = any(part in licence for part in FORBIDDING)
    return f"{licence}, {'which forbids commercial use' if forbids else 'read its terms before commercial use'}"


def _unfit(encoder: str, problem: str) -> ConfigError:
    return ConfigError(f"Setting 'encoder': {encoder!r} {problem}.", _remedy(encoder, FITTING))


def _remedy(encoder: str, among: str | list[str]) -> str:
    """The nearest of the networks with weights whose names are as ``among`` says, and where to look."""
    import timm

    near = difflib.get_close_matches(encoder, timm.list_models(among, pretrained=True), 3, 0.4)
    return f"The nearest names are {', '.join(map(repr, near))}. {REMEDY}" if near else REMEDY
