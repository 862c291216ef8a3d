"""Checks and decodes image files from anywhere, as the browser shows them to the annotators.

Every image becomes 8-bit RGB, the first frame if it is animated. It is turned where browsers turn it: by the EXIF block of
JPEG, PNG and AVIF, but not by WebP's, nor by an orientation that stands in XMP alone. Transparency is composited on white, as
Label Studio's page shows it. A file that was cut short is read as far as it goes, as browsers do. 16-bit grey keeps its high
byte, as browsers show it, unless it uses less than half of the range: then it is stretched from the image's lowest to its
highest value, as 32-bit integer and float grey are, whose range nobody states. What was done to an image is said in its notes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.util import find_spec
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from pt4al_backend.errors import ImageUnreadable

#: What is decoded: each further decoder is a further way in for crafted files. Pillow opens MPO, many cameras' JPEG, as JPEG.
FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000"]
READABLE = "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF and JPEG 2000 are read."
if find_spec("pillow_heif"):  # the extra heic
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS.append("HEIF")
    READABLE = READABLE.replace(" and JPEG 2000", ", JPEG 2000 and HEIC")
MIN_SIDE = 4
#: How an image is turned by the value of its orientation.
METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112  # EXIF tag
LYING = (METHODS[5], METHODS[6], METHODS[7], METHODS[8])  # these exchange width and height
#: Formats whose EXIF block turns an image in a browser. TIFF's own tag is followed as well, which no browser shows.
TURNED = ("JPEG", "MPO", "PNG", "AVIF", "TIFF", "HEIF")
PHOTOMETRIC, WHITE_IS_ZERO = 0x0106, 0  # a tag of TIFF

#: Of files that were cut short browsers show what there is of these alone.
SHOWN_IN_PART = ["JPEG", "PNG", "BMP", "GIF"]

CUT = "The file is cut short: what is missing is blank, here and in the browser."
STRETCHED = "Its grey values use a small part of their range and were stretched from the lowest to the highest."
NO_RANGE = "Its grey values, of 32 bits, state no range and were stretched from the lowest to the highest."

#: Larger images are decoded one at a time: each takes up to a gigabyte meanwhile, whatever the number of threads.
LARGE = 16_000_000
_large = threading.Lock()

# Pillow's own limit is one for the process and only warns at first; decode() checks the caller's limit instead.
Image.MAX_IMAGE_PIXELS = None


class Decoded(NamedTuple):
    """An image as 8-bit RGB, the size of its file, upright (width, height), and notes for the user: what was done to it."""

    image: Image.Image
    size: tuple[int, int]
    notes: tuple[str, ...]


class _EachThreads:
    """Pillow's switch for files that were cut short is one for the process; this one is each thread's."""

    def __init__(self) -> None:
        self._on = threading.local()

    def __bool__(self) -> bool:
        return getattr(self._on, "value", False)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._on.value = True
        try:
            yield
        finally:
            self._on.value = False


_cut_short = _EachThreads()
ImageFile.LOAD_TRUNCATED_IMAGES = _cut_short  # type: ignore[assignment]


def decode(data: bytes, max_pixels: int, size_hint: int | None = None) -> Decoded:
    """Decodes an image file.

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
        try:
            return _decode(data, max_pixels, size_hint, FORMATS)
        except OSError as error:
            if "truncated" not in str(error) or isinstance(error, UnidentifiedImageError):
                raise
            whole = error
        try:
            with _cut_short():
                found = _decode(data, max_pixels, size_hint, SHOWN_IN_PART)
        except UnidentifiedImageError:
            raise whole from None  # of another format
        return found._replace(notes=(CUT, *found.notes))
    except (ImageUnreadable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageUnreadable(*_what_else(data)) from None
    except Exception as error:  # crafted and damaged files make the decoders raise nearly anything
        what = f"The image file is damaged or ends too early ({_brief(error)})."
        raise ImageUnreadable(what, "Replace the file by an intact one, or delete the task.") from None


def _decode(data: bytes, max_pixels: int, size_hint: int | None, formats: list[str]) -> Decoded:
    with Image.open(BytesIO(data), formats=formats) as image:
        _check_size(image.width, image.height, max_pixels)
        with _large if image.width * image.height > LARGE else nullcontext():
            size = image.size
            if size_hint:
                image.draft(None, (2 * size_hint, 2 * size_hint))
            white_is_zero = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO  # type: ignore[attr-defined]
            image.load()
            method = _turn(image)
            rgb, notes = _to_rgb(image, white_is_zero=white_is_zero)
            if method is None:
                return Decoded(rgb, size, notes)
            return Decoded(rgb.transpose(method), (size[1], size[0]) if method in LYING else size, notes)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageUnreadable(
            f"The image has {width:,} x {height:,} pixels, more than {max_pixels:,} in all.",
            "Import a smaller version, or raise PT4AL_IMAGE_MAX_PIXELS.",
        )
    if min(width, height) < MIN_SIDE:
        raise ImageUnreadable(f"The image has only {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed.")


def _to_rgb(image: Image.Image, *, white_is_zero: bool) -> tuple[Image.Image, tuple[str, ...]]:
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.float64)
        if white_is_zero:
            grey = 65535 - grey
        if np.ptp(grey) < 32768:
            return Image.fromarray(_stretched(grey)).convert("RGB"), (STRETCHED,)
        return Image.fromarray((grey.astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB"), ()
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image, dtype=np.float64))).convert("RGB"), (NO_RANGE,)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB"), ()
    return image.convert("RGB"), ()


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise ImageUnreadable("The image has pixels that are not numbers.", "Convert it to 8-bit PNG or JPEG.")
    low, high = values.min(), values.max()
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.asarray(np.rint((values - low) * scale), dtype=np.uint8)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How browsers turn the image, None if they leave it as it lies."""
    if image.format not in TURNED:
        return None
    # A damaged EXIF block says nothing about the pixels: they are left as they lie.
    with suppress(Exception):
        exif = image.getexif() if image.format == "TIFF" else Image.Exif()
        if image.format != "TIFF":
            exif.load(image.info.get("exif", b""))  # not getexif, which reads XMP as well
        return METHODS.get(int(exif.get(ORIENTATION, 1)))
    return None


#: What a file is by how it begins, and what to do with it. Brands of ISO media files stand after their first box' length.
KINDS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"\xff\x0a", b"\x00\x00\x00\x0cJXL "), "a JPEG XL image", "Convert it to JPEG, PNG or WebP."),
    ((b"%PDF-",), "a PDF document", "Convert its pages to PNG and import those."),
    (
        (b"version https://git-lfs",),
        "a Git LFS pointer, not the image that it stands for",
        "Run `git lfs pull` and upload the image.",
    ),
    ((b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"\x00\x00\x01\xba"), "a video", "Import its frames as images."),
    ((b"{", b"["), "JSON, not an image", "Name the image itself in the task, not a description of it."),
    (
        (b"II*\x00", b"MM\x00*", b"FUJIFILM", b"IIU\x00", b"IIRO"),
        "a camera's raw file or a kind of TIFF that is not read",
        "Convert it to JPEG or PNG.",
    ),
)
BRANDS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    (
        (b"heic", b"heix", b"hevc", b"mif1", b"msf1"),
        "a HEIC image",
        "Install the extra: pip install 'pt4al-backend[heic]'. Or convert it to JPEG, which browsers show as well.",
    ),
    ((b"avif", b"avis"), "an AVIF image that is damaged or ends too early", "Replace it by an intact one."),
    ((b"crx ",), "a camera's raw file", "Convert it to JPEG or PNG."),
    ((b"",), "a video", "Import its frames as images."),
)


def _what_else(data: bytes) -> tuple[str, str]:
    """What a file is that no decoder knows, and what to do."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in start:
        return "The image is an SVG drawing, which has no pixels.", "Convert it to PNG and import that."
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "The file is a web page, not an image.", "Name the image itself, not a page that shows it or asks to sign in."
    if data[128:132] == b"DICM":
        return "The file is a DICOM image.", "Convert it to 16-bit PNG and import that."
    if data[4:8] == b"ftyp":
        kinds, start = BRANDS, data[8:12]
    else:
        kinds, start = KINDS, data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for beginnings, what, remedy in kinds:
        if start.startswith(beginnings):
            return f"The file is {what}.", remedy
    return "The file is not an image that can be read here, or its beginning is damaged.", READABLE


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:80] if text else type(error).__name__
