"""What a browser shows of an image file is what the backend reads."""

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

from pt4al_backend.images.decode import decode
from tests.images.test_decode import LIMIT, XMP, encoded, noise, scene

pytestmark = pytest.mark.browser

LYING = Image.Exif()
LYING[0x0112] = 6

#: File and media type; each is shown by browsers.
CORPUS = {
    "JPEG": (encoded(scene(), "JPEG"), "jpeg"),
    "JPEG on its side": (encoded(scene(), "JPEG", exif=LYING), "jpeg"),
    "JPEG on its side by XMP": (encoded(scene(), "JPEG", xmp=XMP), "jpeg"),
    "PNG on its side": (encoded(scene(), "PNG", exif=LYING), "png"),
    "PNG cut short": (encoded(noise(), "PNG")[:5000], "png"),
    "PNG without its end": (encoded(noise(), "PNG")[:-12], "png"),
    "WebP on its side": (encoded(scene(), "WEBP", exif=LYING, lossless=True), "webp"),
    "WebP on its side by XMP": (encoded(scene(), "WEBP", xmp=XMP, lossless=True), "webp"),
    "AVIF on its side": (encoded(scene(), "AVIF", exif=LYING), "avif"),
    "BMP cut short": (encoded(noise(), "BMP")[:5000], "bmp"),
    "GIF": (encoded(scene(), "GIF"), "gif"),
    "16-bit grey": (encoded(Image.fromarray(np.linspace(0, 65535, 960).reshape(24, 40).astype(np.uint16)), "PNG"), "png"),
}

SHOW = """async url => {
    const image = new Image();
    await new Promise((shown, failed) => { image.onload = shown; image.onerror = failed; image.src = url; });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [canvas.height, canvas.width, Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""


def shown(page: Page, data: bytes, kind: str) -> NDArray[np.uint8]:
    """RGB pixels [height, width, 3] as the browser draws them."""
    height, width, values = page.evaluate(SHOW, f"data:image/{kind};base64,{base64.b64encode(data).decode()}")
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize("name", CORPUS)
def test_browser_shows_what_the_backend_reads(browser_page: Page, name: str) -> None:
    theirs, ours = shown(browser_page, *CORPUS[name]), np.asarray(decode(CORPUS[name][0], LIMIT).image)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).mean() < 1


@pytest.mark.parametrize(("kind", "media"), [("JPEG", "jpeg"), ("GIF", "gif")])
def test_browser_shows_a_cut_file_that_the_backend_reads(browser_page: Page, kind: str, media: str) -> None:
    options: dict[str, Any] = {"interlace": 0} if kind == "GIF" else {}
    data = encoded(noise(256, 192), kind, **options)
    cut = data[: len(data) // 2]
    theirs, ours = shown(browser_page, cut, media), np.asarray(decode(cut, LIMIT).image)
    assert np.abs(ours[:48].astype(int) - theirs[:48]).mean() < 1  # what is missing is blank in each's own way
