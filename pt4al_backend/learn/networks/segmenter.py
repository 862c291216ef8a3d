"""Networks of segmentation: encoders of segmentation-models-pytorch or timm, with decoders on them.

segmentation-models-pytorch is imported when its first encoder is made; it downloads no weights here.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn.networks.body import Body, EncoderForm, TimmForm
from pt4al_backend.learn.networks.deeplab import CHANNELS, DeepLabV3, DeepLabV3Plus, initialise
from pt4al_backend.learn.networks.dpt import DPT


class Encoder(Body):
    """A network of the library's without its classification layer; h = H / ``form.stride``, rounded up."""

    form: EncoderForm

    def __init__(self, form: EncoderForm) -> None:
        super().__init__()
        from segmentation_models_pytorch.encoders import get_encoder

        self.form = form
        self.net = get_encoder(form.encoder, weights=None, output_stride=form.stride)
        self.widths = tuple(self.net.out_channels[-4:])
        self.strides = tuple(min(stride, form.stride) for stride in (4, 8, 16, 32))
        self.features = self.widths[-1]

    def maps(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.net(self.normalised(images))
        return maps[-4:]

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        self.net.load_state_dict(dict(weights))  # which leaves out the last layer, in the mapping itself


class Segmenter(nn.Module):
    """An encoder, its decoder and a 1x1 convolution, enlarged: pixels [n, 3, H, W] to float32 logits [n, outputs, H, W].

    Sides that the decoder's ``tile`` does not divide are padded with their last pixels, and cut again. From the 1x1
    convolution on all is float32 under autocast too, as in ``Classifier``.
    """

    def __init__(self, body: Body, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.decoder = _decoder(body)
        self.head = nn.Conv2d(CHANNELS, outputs, 1)
        nn.init.xavier_uniform_(self.head.weight)

    def padded(self, images: Tensor) -> Tensor:
        """Images whose sides the decoder's tile divides."""
        below, right = (-side % self.decoder.tile for side in images.shape[2:])
        return F.pad(images.float(), (0, right, 0, below), mode="replicate") if below or right else images

    def maps_and_logits(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The encoder's feature maps (``Body.maps``), and the logits."""
        height, width = images.shape[2:]
        padded = self.padded(images)
        maps = self.body.maps(padded)
        decoded: Tensor = self.decoder(maps)
        with torch.autocast(decoded.device.type, enabled=False):
            logits = F.interpolate(self.head(decoded.float()), padded.shape[2:], mode="bilinear", align_corners=False)
        return maps, logits[:, :, :height, :width]

    def forward(self, images: Tensor) -> Tensor:
        return self.maps_and_logits(images)[1]


def _decoder(body: Body) -> DeepLabV3 | DeepLabV3Plus | DPT:
    """The decoder of the body's architecture; DPT where all feature maps are of one size, as a vision transformer's are."""
    if not isinstance(body.form, EncoderForm | TimmForm):
        raise TypeError(f"{type(body).__name__} is no encoder")
    if body.form.architecture == "dpt" or len(set(body.strides)) == 1:
        return DPT(body.widths, body.strides)
    decoder = (DeepLabV3Plus if body.form.architecture == "deeplabv3plus" else DeepLabV3)(body.widths, body.strides[-1])
    initialise(decoder)
    return decoder
