"""What everybody may read names no folder of this machine and no address of its network: the settings' names stand for them.

The log has them as they are. Whoever may change a setting knows what it names.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pt4al_backend.config import ServerSettings

#: Where Label Studio's own files begin: in a container, the data folder is /data as well.
NOT_OURS = r"(?![\w-]|\.\w|/(?:upload|local-files)\b)"


class Redaction:
    """Replaces folders and addresses of the settings in texts. Safe to share between threads."""

    def __init__(self, settings: ServerSettings) -> None:
        folder = re.escape(str(settings.data_dir))
        self._replaced = [(re.compile(rf"(?<![\w.:/-]){folder}{NOT_OURS}"), "PT4AL_DATA_DIR")]
        self._replaced += [(re.compile(re.escape(text)), "LABEL_STUDIO_URL") for text in _spellings(settings.label_studio_url)]

    def hide(self, text: str, hostname: str = "") -> str:
        """The text with the settings' names in it; ``hostname`` is the address that Label Studio gave of itself."""
        for pattern, name in self._replaced:
            text = pattern.sub(name, text)
        for spelling in _spellings(hostname):
            text = text.replace(spelling, "its address")
        return text


def _spellings(url: str) -> Iterator[str]:
    """A URL, and the parts of it that messages name, longest first."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.netloc:
        yield from (url, f"{parts.scheme}://{parts.netloc}", parts.netloc)
