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
from pt4al_backend.learn.networks.body import Body, TimmForm

#: How names of networks begin that cut an image into patches, as many as it takes.
DYNAMIC = ("vit_", "deit")
#: Pixels of the shorter side that an image is enlarged to at least, by a whole number.
LEAST_SIDE = 64
REMEDY = "Set encoder in the extra params to another; `pt4al weights list` prints some."


class TimmEncoder(Body):
    """A network of timm's without its classification layer; the feature map of a vision transformer is that of its patches."""

    #: Common in fine-tuning (Howard and Ruder 2018 have 1 / 2.6 a layer; Bao et al. 2022 have 0.65 to 0.75 a block).
    layer_decay: ClassVar[float] = 0.75
    form: TimmForm
    net: Any

    def __init__(self, form: TimmForm) -> None:
        super().__init__()
        import timm

        facts = facts_of(form.encoder)
        self.form = form
        self.mean = torch.tensor(facts.mean).view(1, 3, 1, 1)
        self.std = torch.tensor(facts.std).view(1, 3, 1, 1)
        try:
            options: dict[str, Any] = {"dynamic_img_size": True} if form.encoder.startswith(DYNAMIC) else {}
            self.net = timm.create_model(form.encoder, pretrained=False, num_classes=0, **options)
            self.features = int(self.net.num_features)
            self.net.eval()
            with torch.inference_mode():
                last, found = self.net.forward_intermediates(torch.zeros(1, 3, *facts.input_size[1:]), indices=3)
        except (AttributeError, TypeError, RuntimeError, AssertionError) as error:
            raise ConfigError(f"Setting 'encoder': {form.encoder!r} gives no feature maps.", REMEDY) from error
        self._gives_map = last.ndim == 4
        self.widths = (*(part.shape[1] for part in found), self.features)

    def require_shape(self, shape: Shape) -> None:
        """Refuses images that patches of the network do not tile.

        Raises:
            ConfigError: a side is no multiple of a patch's.
        """
        height, width = getattr(getattr(self.net, "patch_embed", None), "patch_size", (1, 1))
        if not self.form.encoder.startswith(DYNAMIC) or (shape[0] % height, shape[1] % width) == (0, 0):
            return
        side = max(height, round(shape[0] / height) * height)
        raise ConfigError(
            f"The encoder {self.form.encoder!r} takes patches of {width} x {height} pixels, which do not tile images of "
            f"{shape[1]} x {shape[0]}.",
            f"Set image_size in the extra params to a multiple of {height}, such as {side}.",
        )

    def normalised(self, images: Tensor) -> Tensor:
        """As of any body, but small images are enlarged: most encoders shrink them 32 times."""
        shorter = min(images.shape[2:])
        if shorter < LEAST_SIDE:
            images = F.interpolate(images.float(), scale_factor=ceil(LEAST_SIDE / shorter), mode="bilinear", align_corners=False)
        return super().normalised(images)

    def maps(self, images: Tensor) -> list[Tensor]:
        last, maps = self.net.forward_intermediates(self.normalised(images), indices=3)
        return [*maps, self._as_map(last, maps[-1].shape[2:])]

    def forward(self, images: Tensor) -> Tensor:
        if not self._gives_map:
            return self.maps(images)[-1]
        found: Tensor = self.net.forward_features(self.normalised(images))
        return found

    def _as_map(self, features: Tensor, size: torch.Size) -> Tensor:
        """Patches [n, t, c] behind their prefix as a map [n, c, h, w]; a map stays as it is."""
        if features.ndim == 4:
            return features
        patches = features[:, self.net.num_prefix_tokens :]
        return patches.transpose(1, 2).reshape(len(features), -1, *size)

    def levels(self) -> list[list[nn.Parameter]]:
        """Stem, stages or blocks, and what is on them, as timm divides a network."""
        from timm.models import group_parameters

        levels = group_parameters(self.net, self.net.group_matcher(coarse=True), return_values=True)
        return list(levels.values())

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        own = self.net.state_dict()
        given = {name: value for name, value in weights.items() if name in own}
        counted = {name for name in own if name.endswith("num_batches_tracked")}
        if missing := sorted(own.keys() - given.keys() - counted):
            raise RuntimeError(f"{missing[0]} is missing")
        self.net.load_state_dict(given, strict=False)


def facts_of(encoder: str) -> Any:
    """timm's facts of a network with weights: addresses, licence, normalisation.

    Raises:
        ConfigError: timm knows no such network, or has no weights for it.
    """
    import timm

    facts = timm.get_pretrained_cfg(encoder, allow_unregistered=False) if timm.is_model(encoder) else None
    if facts is None or not (facts.url or facts.hf_hub_id):
        near = difflib.get_close_matches(encoder, timm.list_models(pretrained=True), 3, 0.4)
        raise ConfigError(
            f"Setting 'encoder': timm has no weights of a network {encoder!r}.",
            f"The nearest names are {', '.join(map(repr, near))}. {REMEDY}" if near else REMEDY,
        )
    return facts
