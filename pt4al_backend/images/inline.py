"""``data:`` URIs: images that stand in the task itself.

They may be megabytes long, so the state keeps a digest of them; the text is fetched from Label Studio again when the image is
needed.
"""

import base64
import binascii
import hashlib
import re
from urllib.parse import unquote_to_bytes

from pt4al_backend.errors import ImageUnreadable

#: How the reference begins that stands for a URI in the state; no browser would take it for an image.
_KEPT = "data:;sha256="
_BEGINS = re.compile("data:", re.IGNORECASE)
_SPACE = re.compile(rb"[\t\n\f\r ]+")


def is_inline(reference: object) -> bool:
    """Whether a reference is the image itself, or stands for one that is."""
    return isinstance(reference, str) and _BEGINS.match(reference.lstrip()) is not None


def is_kept(reference: object) -> bool:
    """Whether a reference stands for an image in the task."""
    return isinstance(reference, str) and reference.startswith(_KEPT)


def kept(reference: str) -> str:
    """What the state keeps of a reference: of a ``data:`` URI a digest, which is another for another image."""
    if not is_inline(reference):
        return reference
    return _KEPT + hashlib.sha256(reference.strip().encode("utf-8", "surrogatepass")).hexdigest()


def unpacked(reference: str, max_bytes: int) -> bytes:
    """The file in a ``data:`` URI, read as browsers do: percent-encoding first, then base64 with or without its padding.

    Raises:
        ImageUnreadable: it has no comma, is damaged, or longer than ``max_bytes``.
    """
    head, comma, body = reference.strip().partition(",")
    if not comma:
        raise ImageUnreadable("The data: URI in the task has no comma.", "Import the task again with the whole URI.")
    is_base64 = head.lower().replace(" ", "").endswith(";base64")
    if len(body) > (3 if not is_base64 else 4) * max_bytes:  # each byte takes up to three characters, and base64's may be encoded
        raise _too_long(max_bytes)
    data = unquote_to_bytes(body)
    if is_base64:
        data = _SPACE.sub(b"", data).rstrip(b"=")
        try:
            data = base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
        except (binascii.Error, ValueError):
            what = "The data: URI in the task is not base64."
            raise ImageUnreadable(what, "Import the task again with the whole URI, or upload the image.") from None
    if len(data) > max_bytes:
        raise _too_long(max_bytes)
    return data


def _too_long(max_bytes: int) -> ImageUnreadable:
    return ImageUnreadable(
        f"The image in the task is longer than {max_bytes:,} bytes.",
        "Import a smaller version, or raise PT4AL_IMAGE_MAX_BYTES.",
    )
