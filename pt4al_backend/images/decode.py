"""Checks and decodes image files from anywhere.

Every image becomes 8-bit RGB, upright (EXIF orientation applied), the first frame if it is animated. Transparency is
composited on white, as Label Studio's page shows it. 16-bit grey keeps its high byte, as browsers show it; 32-bit
integer and float grey, whose range nobody states, is stretched from the image's lowest to its highest value.
"""

import threading
from contextlib import nullcontext, suppress
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pt4al_backend.errors import ImageUnreadable

#: What is decoded: each further decoder is a further way in for crafted files. Pillow opens MPO, many cameras' JPEG, as JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000")
READABLE = "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF and JPEG 2000 are read."
MIN_SIDE = 4
ORIENTATION = 0x0112  # EXIF tag; 5 to 8 lie on their side

#: Larger images are decoded one at a time: each takes up to a gigabyte meanwhile, whatever the number of threads.
LARGE = 16_000_000
_large = threading.Lock()

# Pillow's own limit is one for the process and only warns at first; decode() checks the caller's limit in its stead.
Image.MAX_IMAGE_PIXELS = None


def decode(data: bytes, max_pixels: int, size_hint: int | None = None) -> Image.Image:
    """Decodes an image file to 8-bit RGB; arguments and errors are those of ``decode_sized``."""
    return decode_sized(data, max_pixels, size_hint)[0]


def decode_sized(data: bytes, max_pixels: int, size_hint: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes an image file to 8-bit RGB, and tells its own size, upright: (width, height) in pixels.

    Args:
        max_pixels: largest width times height; checked in the header, before any pixel is decoded.
        size_hint: shorter side that is wanted in the end. A larger JPEG is then decoded at a half, a quarter or an
            eighth of its size, never below twice the hint, which is many times faster.

    Raises:
        ImageUnreadable: not an image, of a kind not read here, damaged, too small or too large.
    """
    if not data:
        raise ImageUnreadable("The image file is empty.")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _check_size(image.width, image.height, max_pixels)
            with _large if image.width * image.height > LARGE else nullcontext():
                size = image.size
                if size_hint:
                    image.draft(None, (2 * size_hint, 2 * size_hint))
                image.load()
                lies = _turn_upright(image)
                return _to_rgb(image), (size[1], size[0]) if lies else size
    except (ImageUnreadable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageUnreadable(*_what_else(data)) from None
    except Exception as error:  # crafted and damaged files make the decoders raise nearly anything
        raise ImageUnreadable(f"The image file is damaged or ends too early ({_brief(error)}).", "Import it again.") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageUnreadable(
            f"The image has {width:,} x {height:,} pixels, more than {max_pixels:,} in all.",
            "Import a smaller version, or raise PT4AL_IMAGE_MAX_PIXELS.",
        )
    if min(width, height) < MIN_SIDE:
        raise ImageUnreadable(f"The image has only {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return image.convert("RGB")


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise ImageUnreadable("The image has pixels that are not numbers.", "Convert it to 8-bit PNG or JPEG.")
    low, high = values.min(), values.max()
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.asarray(np.rint((values - low) * scale), dtype=np.uint8)


def _turn_upright(image: Image.Image) -> bool:
    """Applies the EXIF orientation; True if that exchanged width and height."""
    # A damaged EXIF block says nothing about the pixels: they are left as they lie.
    with suppress(Exception):
        lies = image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
        ImageOps.exif_transpose(image, in_place=True)
        return lies
    return False


def _what_else(data: bytes) -> tuple[str, str]:
    """What a file is that no decoder knows, and what to do."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in start:
        return "The image is an SVG drawing, which has no pixels.", "Convert it to PNG and import that."
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "The file is a web page, not an image.", "Name the image itself, not a page that shows it or asks to sign in."
    return "The file is not an image that can be read here, or its beginning is damaged.", READABLE


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:80] if text else type(error).__name__
