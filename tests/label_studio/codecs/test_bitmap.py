import base64
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.label_studio.codecs.bitmap import decode, encode

PREFIX = "data:image/png;base64,"


def url(image: Image.Image, **options: object) -> str:
    buffer = BytesIO()
    image.save(buffer, "PNG", **options)
    return PREFIX + base64.b64encode(buffer.getvalue()).decode()


def claiming(width: int, height: int) -> str:
    """A PNG of 60 bytes that says it is of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b""))
    return PREFIX + base64.b64encode(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")).decode()


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_every_region_comes_back(region: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(decode(encode(region), *region.shape), region)


def test_a_region_is_shown_black_and_the_rest_transparent() -> None:
    data = encode(np.array([[True, False]])).removeprefix(PREFIX)
    with Image.open(BytesIO(base64.b64decode(data))) as image:
        shown = image.convert("RGBA")
    assert shown.getpixel((0, 0)) == (0, 0, 0, 255)
    assert shown.getpixel((1, 0))[3] == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_pixel_belongs_to_it_if_it_is_at_least_half_opaque(mode: str) -> None:
    image = Image.new(mode, (4, 1))
    image.putalpha(Image.frombytes("L", (4, 1), bytes([0, 127, 128, 255])))
    assert decode(url(image), 1, 4).tolist() == [[False, False, True, True]]


def test_a_transparent_colour_is_transparent() -> None:
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 0]))
    image.putpalette([0, 0, 0, 255, 255, 255])
    assert decode(url(image, transparency=0), 1, 3).tolist() == [[False, True, False]]


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_without_transparency_all_of_it_is_covered_as_the_editor_shows_it(mode: str) -> None:
    assert decode(url(Image.new(mode, (3, 2))), 2, 3).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "does not begin with 'data:image/png;base64,'"),
        (["data:image/png;base64,"], "does not begin with"),
        ("http://127.0.0.1/mask.png", "does not begin with"),
        ("data:image/svg+xml;base64,AAAA", "does not begin with"),
        (PREFIX + "%%%", "is not base64"),
        (PREFIX + "ä", "is not base64"),
        (PREFIX, "is no PNG"),
        (PREFIX + "AAAA", "is no PNG"),
        (url(Image.new("RGBA", (3, 2)))[: len(PREFIX) + 60], "is no PNG"),
        (claiming(3, 2), "damaged"),
        (url(Image.new("RGBA", (2, 3))), "has 2 x 3 pixels, not 3 x 2"),
        (claiming(2**31 - 1, 2**31 - 1), "has 2,147,483,647 x 2,147,483,647 pixels, not 3 x 2"),
    ],
)
def test_bitmap_of_another_size_is_refused(data: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(data, 2, 3)
