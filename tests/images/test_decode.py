import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.decode import CUT, NO_RANGE, STRETCHED, decode
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
    image = decode(data, LIMIT).image
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


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (30_000, 31_000), (0, 16_383)], ids=["12 bits", "narrow", "14 bits"])
def test_16_bit_grey_of_a_narrow_range_is_stretched(low: int, high: int) -> None:
    shades = np.linspace(low, high, 256).astype(np.uint16).reshape(16, 16)
    found = decode(encoded(Image.fromarray(shades), "PNG"), LIMIT)
    assert np.array_equal(np.asarray(found.image)[..., 0].ravel(), np.arange(256))
    assert found.notes == (STRETCHED,)


def test_white_is_zero_16_bit_tiff_is_inverted() -> None:
    shades = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    data = encoded(Image.fromarray(shades), "TIFF", tiffinfo={0x0106: 0})
    assert pixels(data)[0, 0, 0] > 250 > 5 > pixels(data)[-1, -1, 0]


def test_big_endian_16_bit_grey_is_read_the_same() -> None:
    ramp = np.linspace(0, 65535, 256).astype(">u2").reshape(16, 16)
    found = pixels(png(16, 16, b"".join(b"\0" + row.tobytes() for row in ramp), colour=0, depth=16))
    assert np.array_equal(found[..., 0], ramp >> 8)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_grey_of_unknown_range_is_stretched_and_noted(kind: type) -> None:
    values = np.arange(-100, 156, dtype=kind).reshape(16, 16) * 1000
    found = decode(encoded(Image.fromarray(values), "TIFF"), LIMIT)
    assert np.array_equal(np.asarray(found.image)[..., 0].ravel(), np.arange(256))
    assert found.notes == (NO_RANGE,)


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
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
    found = decode(encoded(image, kind, exif=exif), LIMIT).image
    assert found.size == (40, 24)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(scene())).mean() < 12


XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" tiff:Orientation="6"
xmlns:tiff="http://ns.adobe.com/tiff/1.0/"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
        ("WEBP", {"xmp": XMP}),
        ("JPEG", {"xmp": XMP}),
    ],
    ids=["EXIF of WebP", "XMP of WebP", "XMP of JPEG"],
)
def test_orientation_that_browsers_ignore_is_ignored(kind: str, options: dict[str, Any]) -> None:
    assert decode(encoded(scene(), kind, **options), LIMIT).size == (40, 24)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_cost_the_image() -> None:
    data = encoded(scene(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert decode(data, LIMIT).image.size == (40, 24)


def test_heic_is_read_with_the_extra_or_names_it() -> None:
    if find_spec("pillow_heif"):
        found = pixels(encoded(scene(64, 48), "HEIF", quality=95)).astype(int)
        assert np.abs(found - np.asarray(scene(64, 48))).mean() < 12
    else:
        with pytest.raises(ImageUnreadable, match="HEIC") as caught:
            decode(b"\0\0\0\x18ftypheic\0\0\0\0", LIMIT)
        assert "[heic]" in caught.value.remedy


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
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video"),
        (b"\x1aE\xdf\xa3\x01\0\0\0", "a video"),
        (b"\xff\x0a\xfa\x1f\x01\x90", "JPEG XL"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\0" * 128 + b"DICM\x02\0", "DICOM"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b'{"error": "not found"}', "JSON"),
        (b"FUJIFILMCCD-RAW 0201", "raw"),
    ],
)
def test_the_reason_says_what_the_file_is(data: bytes, reason: str) -> None:
    with pytest.raises(ImageUnreadable, match=reason) as caught:
        decode(data, LIMIT)
    assert not caught.value.transient


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_file_is_read_as_far_as_browsers_show_it(kind: str, part: float) -> None:
    data = encoded(noise(), kind, **({"interlace": 0} if kind == "GIF" else {}))
    whole, found = decode(data, LIMIT), decode(data[: int(len(data) * part)], LIMIT)
    assert (found.size, found.notes) == (whole.size, (CUT,))
    equal = (np.asarray(found.image) == np.asarray(whole.image)).all(axis=(1, 2))
    if kind == "BMP":  # whose rows lie upside down
        equal = equal[::-1]
    assert equal[: max(int(len(equal) * part) - 17, 0)].all()  # 16 rows of a JPEG are decoded together


def test_jpeg_without_its_end_marker_loses_nothing() -> None:
    data = encoded(noise(), "JPEG")
    assert data.endswith(b"\xff\xd9")
    assert np.array_equal(np.asarray(decode(data[:-2], LIMIT).image), np.asarray(decode(data, LIMIT).image))


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.filterwarnings("default")
def test_truncated_file_that_no_browser_shows_is_refused(kind: str, part: float) -> None:
    data = encoded(noise(), kind)
    with pytest.raises(ImageUnreadable, match=r"ends too early|beginning is damaged"):
        decode(data[: int(len(data) * part)], LIMIT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_file_cut_within_its_header_is_refused(kind: str) -> None:
    with pytest.raises(ImageUnreadable):
        decode(encoded(noise(), kind)[:16], LIMIT)


def test_reading_a_cut_file_leaves_other_threads_strict() -> None:
    cut = encoded(noise(), "JPEG")[:2000]
    with ThreadPoolExecutor(4) as pool:
        notes = list(pool.map(lambda n: decode(cut if n % 2 else encoded(noise(), "JPEG"), LIMIT).notes, range(40)))
    assert notes == [(), (CUT,)] * 20


def test_flipped_bytes_never_raise_anything_else() -> None:
    random = np.random.default_rng(1)
    outcomes = set()
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"):
        original = np.frombuffer(encoded(noise(16, 16), kind), np.uint8)
        for _ in range(60):
            damaged = original.copy()
            damaged[random.integers(0, len(damaged), 6)] = random.integers(0, 256, 6)
            try:
                outcomes.add(decode(damaged.tobytes(), LIMIT).image.mode)
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
    assert decode(small, 100_000_000, size_hint=32).image.size == (1250, 1125)


def test_a_hint_shrinks_large_jpegs_to_no_less_than_twice_the_hint() -> None:
    data = encoded(scene(1600, 1000), "JPEG")
    assert decode(data, 2_000_000).image.size == (1600, 1000)
    assert decode(data, 2_000_000, size_hint=60).image.size == (200, 125)
    assert decode(data, 2_000_000, size_hint=400).image.size == (1600, 1000)
    assert decode(encoded(scene().convert("CMYK"), "JPEG"), LIMIT, size_hint=4).image.size == (20, 12)


def test_a_hint_changes_the_square_little() -> None:
    smooth = noise(16, 12).resize((1600, 1200), Image.Resampling.BICUBIC)
    data = encoded(smooth, "JPEG", quality=95)
    full, fast = (crop(decode(data, 2_000_000, hint).image, (64, 64)).astype(int) for hint in (None, 64))
    assert np.abs(full - fast).mean() < 2


def test_no_file_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for kind in ("TIFF", "GIF", "WEBP"):
        data = encoded(noise(), kind)
        decode(data, LIMIT)
        with suppress(ImageUnreadable):
            decode(data[: len(data) // 2], LIMIT)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_reported_size_is_that_of_the_upright_image() -> None:
    lying = Image.Exif()
    lying[0x0112] = 6
    assert decode(encoded(scene(1600, 1000), "JPEG"), 2_000_000, 60).size == (1600, 1000)
    assert decode(encoded(scene(1600, 1000), "JPEG", exif=lying), 2_000_000, 60).size == (1000, 1600)
