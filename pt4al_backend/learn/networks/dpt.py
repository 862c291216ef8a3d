"""Decoder of DPT, the dense prediction transformer (Ranftl et al. 2021, arXiv:2103.13413), as in segmentation-models-pytorch.

Maps of four depths are brought to 1/4, 1/8, 1/16 and 1/32 of the image's sides and to one width, and added from the last to the
first. Not as published: the class token is left out, and patches of any size count as 16 pixels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from pt4al_backend.learn.networks.deeplab import CHANNELS

#: Pixels of the image for one of each map once the maps have been brought to their sizes.
TARGETS = (4, 8, 16, 32)
#: Channels of the maps on the way, as published for small transformers.
MIDDLE = (96, 192, 384, 768)


class DPT(nn.Module):
    """Four maps to [m, CHANNELS, h, w], where h and w are half of the image's sides if a patch has 16 pixels.

    ``tile`` is what an image's sides have to be multiples of: else the maps would not meet when they are added.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder

        counted = (16,) * len(strides) if len(set(strides)) == 1 else tuple(strides)
        self.tile = strides[-1] * TARGETS[-1] // counted[-1]
        self.net = DPTDecoder(
            tuple(channels),
            counted,
            encoder_has_prefix_tokens=False,
            readout="ignore",
            intermediate_channels=MIDDLE,
            fusion_channels=CHANNELS,
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        decoded: Tensor = self.net(list(maps), [None] * len(maps))
        return decoded
