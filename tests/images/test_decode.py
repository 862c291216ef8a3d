import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.decode import decode, decode_sized
from pt4al_backend.images.frames import crop

LIMIT = 1_000_000
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def scene(width: int = 40, height: int = 24) -> Image.Image:
    """Red at the top left, blue at the bottom right, green elsewhere."""
    image = Image.new("RGB", (width, height), GREEN)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(BLUE, (width // 2, height // 2, width, height))
    return image


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    image = decode(data, LIMIT)
    assert image.mode == "RGB"
    return np.asarray(image)


def png(width: int, height: int, body: bytes = b"", colour: int = 2, depth: int = 8) -> bytes:
    """A PNG by hand: headers that no library would write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
        ("GIF", {}),
    ],
)
def test_lossless_formats_keep_every_pixel(kind: str, options: dict[str, Any]) -> None:
    assert np.array_equal(pixels(encoded(scene(), kind, **options)), np.asarray(scene()))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "MPO"])
def test_lossy_formats_keep_the_picture(kind: str) -> None:
    found = pixels(encoded(scene(), kind)).astype(int)
    assert np.abs(found - np.asarray(scene())).mean() < 12


def test_cmyk_becomes_its_colours() -> None:
    found = pixels(encoded(scene().convert("CMYK"), "JPEG", quality=95)).astype(int)
    assert np.abs(found - np.asarray(scene())).mean() < 12


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_shades(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    found = pixels(encoded(Image.fromarray(ramp), kind))
    assert np.array_equal(found[..., 0], (ramp // 256).astype(np.uint8))
    assert np.array_equal(found[..., 0], found[..., 2])


def test_big_endian_16_bit_grey_is_read_the_same() -> None:
    ramp = np.linspace(0, 65535, 256).astype(">u2").reshape(16, 16)
    found = pixels(png(16, 16, b"".join(b"\0" + row.tobytes() for row in ramp), colour=0, depth=16))
    assert np.array_equal(found[..., 0], ramp >> 8)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_grey_of_unknown_range_is_stretched(kind: type) -> None:
    values = np.arange(-100, 156, dtype=kind).reshape(16, 16) * 1000
    found = pixels(encoded(Image.fromarray(values), "TIFF"))
    assert np.array_equal(found[..., 0].ravel(), np.arange(256))


def test_a_constant_float_image_is_black() -> None:
    assert pixels(encoded(Image.fromarray(np.full((8, 8), 3.5, np.float32)), "TIFF")).max() == 0


def test_a_float_image_with_nan_is_refused() -> None:
    with pytest.raises(ImageUnreadable, match="not numbers"):
        decode(encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), LIMIT)


def test_palette_and_one_bit_become_rgb() -> None:
    palette = scene().convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(pixels(encoded(palette, "PNG")), np.asarray(scene()))
    black_white = Image.fromarray(np.eye(8, dtype=bool))
    assert np.array_equal(pixels(encoded(black_white, "PNG"))[..., 1], np.eye(8) * 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparent_pixels_are_white(mode: str) -> None:
    options: dict[str, Any] = {}
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        options = {"transparency": b"\x00\xff"}
    elif mode == "RGB":
        image = Image.new("RGB", (8, 8), BLUE)
        options = {"transparency": BLUE}
    else:
        image = Image.new(mode, (8, 8), (0, 0) if mode == "LA" else (0, 0, 0, 0))
    assert (pixels(encoded(image, "PNG", **options)) == 255).all()


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    found = pixels(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), "PNG"))
    assert found[0, 0].tolist() == [255, 127, 127]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = scene() if stored is None else scene().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(image, kind, exif=exif), LIMIT)
    assert found.size == (40, 24)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(scene())).mean() < 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_cost_the_image() -> None:
    data = encoded(scene(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert decode(data, LIMIT).size == (40, 24)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {}))
    assert (pixels(data) == RED).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"hello, I am text", "not an image"),
        (os.urandom(2000), "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", "SVG"),
        (b"\n<!DOCTYPE html><html><img src='x.svg'></html>", "is a web page, not an image"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "only 1 x 1"),
        (encoded(Image.new("RGB", (300, 3)), "PNG"), "only 300 x 3"),
        (png(0, 5), "damaged"),
    ],
)
def test_the_reason_says_what_the_file_is(data: bytes, reason: str) -> None:
    with pytest.raises(ImageUnreadable, match=reason) as caught:
        decode(data, LIMIT)
    assert not caught.value.transient


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.filterwarnings("default")
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    data = encoded(noise(), kind)
    with pytest.raises(ImageUnreadable, match=r"ends too early|beginning is damaged"):
        decode(data[: int(len(data) * part)], LIMIT)


def test_flipped_bytes_never_raise_anything_else() -> None:
    random = np.random.default_rng(1)
    outcomes = set()
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"):
        original = np.frombuffer(encoded(noise(16, 16), kind), np.uint8)
        for _ in range(60):
            damaged = original.copy()
            damaged[random.integers(0, len(damaged), 6)] = random.integers(0, 256, 6)
            try:
                outcomes.add(decode(damaged.tobytes(), LIMIT).mode)
            except ImageUnreadable as error:
                outcomes.add(type(error).__name__)
    assert outcomes == {"RGB", "ImageUnreadable"}


def test_a_huge_image_is_refused_by_its_header() -> None:
    # There are no pixels behind this header: only a check before decoding can give this reason.
    with pytest.raises(ImageUnreadable, match="20,000 x 20,000 pixels, more than 100,000,000") as caught:
        decode(png(20_000, 20_000), 100_000_000)
    assert "PT4AL_IMAGE_MAX_PIXELS" in caught.value.remedy


def test_an_image_above_pillows_own_limit_is_decoded_if_the_setting_allows_it() -> None:
    data = encoded(Image.new("1", (13_400, 13_400)), "PNG")  # 179.6 million pixels: Pillow's limit is 178.9
    with pytest.raises(ImageUnreadable, match="more than"):
        decode(data, 179_000_000)
    small = encoded(Image.new("L", (10_000, 9_000), 7), "JPEG")  # above the number at which Pillow warns
    assert decode(small, 100_000_000, size_hint=32).size == (1250, 1125)


def test_a_hint_shrinks_large_jpegs_to_no_less_than_twice_the_hint() -> None:
    data = encoded(scene(1600, 1000), "JPEG")
    assert decode(data, 2_000_000).size == (1600, 1000)
    assert decode(data, 2_000_000, size_hint=60).size == (200, 125)
    assert decode(data, 2_000_000, size_hint=400).size == (1600, 1000)
    assert decode(encoded(scene().convert("CMYK"), "JPEG"), LIMIT, size_hint=4).size == (20, 12)


def test_a_hint_changes_the_square_little() -> None:
    smooth = noise(16, 12).resize((1600, 1200), Image.Resampling.BICUBIC)
    data = encoded(smooth, "JPEG", quality=95)
    full, fast = (crop(decode(data, 2_000_000, hint), (64, 64)).astype(int) for hint in (None, 64))
    assert np.abs(full - fast).mean() < 2


def test_no_file_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for kind in ("TIFF", "GIF", "WEBP"):
        data = encoded(noise(), kind)
        decode(data, LIMIT)
        with pytest.raises(ImageUnreadable):
            decode(data[: len(data) // 2], LIMIT)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_reported_size_is_that_of_the_upright_image() -> None:
    lying = Image.Exif()
    lying[0x0112] = 6
    assert decode_sized(encoded(scene(1600, 1000), "JPEG"), 2_000_000, 60)[1] == (1600, 1000)
    assert decode_sized(encoded(scene(1600, 1000), "JPEG", exif=lying), 2_000_000, 60)[1] == (1000, 1600)
