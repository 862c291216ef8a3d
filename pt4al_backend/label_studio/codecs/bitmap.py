"""Bitmask regions: a PNG of the image's size in a data URL, black where the region is and transparent elsewhere."""

import base64
import binascii
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.label_studio.codecs.rle import HALF

_PREFIX = "data:image/png;base64,"

# Pillow's own limit is one for the process and only warns at first; decode() compares the header's size with the mask's.
Image.MAX_IMAGE_PIXELS = None


def encode(region: NDArray[np.bool_]) -> str:
    """Packs a region, bool [height, width], into one bit for a pixel, of which white is transparent.

    The editor shows it as its own RGBA, which has 32 bits to compress.
    """
    buffer = BytesIO()
    Image.fromarray(~region).save(buffer, "PNG", transparency=1)
    return _PREFIX + base64.b64encode(buffer.getvalue()).decode()


def decode(url: object, height: int, width: int) -> NDArray[np.bool_]:
    """Unpacks a region, bool [height, width]: the pixels that are at least half opaque; all, if none is transparent.

    Raises:
        ValueError: it is no such PNG of this size. The message goes after "its bitmap".
    """
    if not isinstance(url, str) or not url.startswith(_PREFIX):
        raise ValueError(f"does not begin with {_PREFIX!r}")
    try:
        data = base64.b64decode(url[len(_PREFIX) :], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            size = image.size  # from the header: no pixel of another size is decoded
            if size == (width, height):
                return _opaque(image)
    except Exception as error:  # crafted and damaged files make the decoder raise nearly anything
        raise ValueError(f"is no PNG, or a damaged one ({type(error).__name__})") from None
    raise ValueError(f"has {size[0]:,} x {size[1]:,} pixels, not {width:,} x {height:,}")


def _opaque(image: Image.Image) -> NDArray[np.bool_]:
    if not image.has_transparency_data:
        return np.ones((image.height, image.width), dtype=np.bool_)
    opacity = (image if "A" in image.getbands() else image.convert("RGBA")).getchannel("A")
    return np.asarray(opacity) >= HALF
