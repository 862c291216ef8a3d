"""Networks of segmentation, by segmentation-models-pytorch: encoders, and DeepLabV3 and DeepLabV3+ on them.

DeepLabV3 (Chen et al. 2017) looks at a feature map of 1/8 of the image's sides, DeepLabV3+ (Chen et al. 2018) at one of
1/16 and at an earlier one of 1/4, with the dilations that both papers give for their stride (the library has those of 1/8
throughout). The library is imported when the first network is made; it fetches no weights here.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn.networks.body import Body, EncoderForm

#: Channels of the decoder, as published.
CHANNELS = 256
#: Part of the decoder's channels that training leaves out at random: the library's.
DROPOUT = 0.5
#: Dilations of the parallel convolutions, by the stride of the map that they look at.
DILATIONS = {8: (12, 24, 36), 16: (6, 12, 18)}


class Encoder(Body):
    """A network of the library's without its last layer; h = H / ``form.stride``, rounded up."""

    form: EncoderForm

    def __init__(self, form: EncoderForm) -> None:
        super().__init__()
        from segmentation_models_pytorch.encoders import get_encoder

        self.form = form
        self.net = get_encoder(form.encoder, weights=None, output_stride=form.stride)
        self.channels = tuple(self.net.out_channels)
        self.widths = self.channels[-4:]
        self.features = self.widths[-1]

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Feature maps, the normalised image first, each with ``channels`` and sides half of the one before or equal to them."""
        maps: list[Tensor] = self.net(self.normalised(images))
        return maps

    def maps(self, images: Tensor) -> list[Tensor]:
        return self.pyramid(images)[-4:]

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        self.net.load_state_dict(dict(weights))  # which leaves out the last layer, in the mapping itself


class _NormOfPooled(nn.BatchNorm2d):
    """Normalises what is pooled over an image. A minibatch of one has no spread there: it is normalised as in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def _decoder(body: Encoder) -> nn.Module:
    from segmentation_models_pytorch.base.initialization import initialize_decoder
    from segmentation_models_pytorch.decoders.deeplabv3 import decoder as deeplab

    common = {"out_channels": CHANNELS, "atrous_rates": DILATIONS[body.form.stride], "aspp_dropout": DROPOUT}
    made: nn.Module
    if body.form.architecture == "deeplabv3plus":
        depth = len(body.channels) - 1
        made = deeplab.DeepLabV3PlusDecoder(
            encoder_channels=body.channels, encoder_depth=depth, output_stride=body.form.stride, aspp_separable=True, **common
        )
    else:
        made = deeplab.DeepLabV3Decoder(in_channels=body.features, aspp_separable=False, **common)
    initialize_decoder(made)
    for module in made.modules():
        if isinstance(module, deeplab.ASPPPooling):
            module[2] = _NormOfPooled(CHANNELS)
    return made


class Segmenter(nn.Module):
    """An encoder, its decoder and a 1x1 convolution, enlarged: pixels [n, 3, H, W] to float32 logits [n, outputs, H, W].

    Sides that the encoder's stride does not divide are filled up with their last pixels, and cut again. From the 1x1
    convolution on all is float32 under autocast too, as in ``Classifier``.
    """

    def __init__(self, body: Encoder, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.decoder = _decoder(body)
        self.head = nn.Conv2d(CHANNELS, outputs, 1)
        nn.init.xavier_uniform_(self.head.weight)

    def padded(self, images: Tensor) -> Tensor:
        """Images whose sides the encoder's stride divides."""
        below, right = (-side % self.body.form.stride for side in images.shape[2:])
        return F.pad(images.float(), (0, right, 0, below), mode="replicate") if below or right else images

    def maps_and_logits(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The encoder's feature maps (``Body.maps``), and the logits."""
        height, width = images.shape[2:]
        padded = self.padded(images)
        pyramid = self.body.pyramid(padded)
        decoded: Tensor = self.decoder(pyramid)
        with torch.autocast(decoded.device.type, enabled=False):
            logits = F.interpolate(self.head(decoded.float()), padded.shape[2:], mode="bilinear", align_corners=False)
        return pyramid[-4:], logits[:, :, :height, :width]

    def forward(self, images: Tensor) -> Tensor:
        return self.maps_and_logits(images)[1]
