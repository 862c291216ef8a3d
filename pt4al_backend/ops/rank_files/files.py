"""Image files on this machine, and the addresses under which Label Studio finds them."""

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from pt4al_backend.errors import ConfigError
from pt4al_backend.images.decode import FORMATS

#: Where Label Studio serves files of its own machine, if it is set up to; ``d`` is relative to its document root, "/" by default.
LOCAL_FILES = "/data/local-files/?d="


@dataclass(frozen=True)
class Files:
    """Image files, and the folder that their addresses in Label Studio are relative to."""

    paths: list[Path]
    root: Path

    @classmethod
    def find(cls, arguments: Iterable[str]) -> "Files":
        """Finds images: files as they are named, folders with all below them, patterns such as ``lake/**/*.png``.

        Raises:
            ConfigError: an argument names nothing, or there is no image.
        """
        suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
        found: dict[Path, None] = {}
        tops = []
        for argument in arguments:
            names = [argument] if Path(argument).exists() else sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - absolute patterns
            if not names:
                raise ConfigError(f"There is no file or folder {argument!r}.", "Name image files, folders or patterns.")
            for path in (Path(name).absolute() for name in names):
                tops.append(path if path.is_dir() else path.parent)
                inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes) if path.is_dir() else [path]
                # a link that leads nowhere stays, so that it is named among the files that cannot be read
                found.update(dict.fromkeys(p for p in inside if p.is_file() or not p.exists()))
        if not found:
            raise ConfigError(
                "No image files were found.", f"Files of folders are taken by their ending: {', '.join(sorted(suffixes))}."
            )
        return cls(list(found), Path(os.path.commonpath(tops)))

    def address(self, path: Path, prefix: str | None) -> str:
        """What the image field of a task holds: ``prefix`` and the path below ``root``, or a path that Label Studio serves."""
        if prefix is None:
            return LOCAL_FILES + quote(os.fsencode(path).lstrip(b"/"))
        below = path.relative_to(self.root)
        joint = "" if not prefix or prefix.endswith(("/", "=")) else "/"
        is_cloud = prefix.startswith(("s3://", "gs://", "azure-blob://"))  # object names, which are not percent-encoded
        return prefix + joint + (str(below) if is_cloud else quote(os.fsencode(below)))
