"""Image files on this machine, and the addresses under which Label Studio finds them."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.sources.base import Source, image_suffixes, no_presigned_urls, too_long

#: Where Label Studio serves files of its own machine, if it is set up to; ``d`` is relative to its document root, "/" by default.
LOCAL_FILES = "/data/local-files/?d="


class Files(Source):
    """Image files; ``names`` are their absolute paths."""

    @classmethod
    def find(cls, arguments: Iterable[str]) -> "Files":
        """Finds images: files as they are named, folders with all below them, patterns such as ``lake/**/*.png``.

        Raises:
            ConfigError: an argument names nothing, or there is no image.
        """
        suffixes = image_suffixes()
        found: dict[Path, str] = {}
        tops = []
        for argument in arguments:
            names = [argument] if Path(argument).exists() else sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - absolute patterns
            if not names:
                raise ConfigError(f"There is no file or folder {argument!r}.", "Name image files, folders or patterns.")
            for path in (Path(name).absolute() for name in names):
                tops.append(path if path.is_dir() else path.parent)
                inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes) if path.is_dir() else [path]
                # a link that leads nowhere stays, so that it is named among the files that cannot be read
                found.update((p, _version_of(p)) for p in inside if p.is_file() or not p.exists())
        if not found:
            raise ConfigError(
                "No image files were found.", f"Files of folders are taken by their ending: {', '.join(sorted(suffixes))}."
            )
        source = cls([str(path) for path in found], os.path.commonpath(tops))
        source.versions = {str(path): version for path, version in found.items() if version}
        return source

    def read_version(self, name: str, most: int) -> tuple[bytes, str]:
        """As ``Source`` says."""
        try:
            with Path(name).open("rb") as file:
                version = os.fstat(file.fileno())
                if version.st_size > most:
                    raise too_long(most)
                return file.read(), _version(version)
        except OSError as error:
            raise ImageUnreadable(f"The file cannot be read ({error.strerror or type(error).__name__}).") from error

    def own_address(self, name: str) -> str:
        """A path that Label Studio serves."""
        return LOCAL_FILES + quote(os.fsencode(name).lstrip(b"/"))

    def presigned(self, name: str, seconds: int) -> str:  # noqa: ARG002 - as of every source
        """There is none."""
        raise no_presigned_urls(name)

    def require_reachable(self) -> None:
        """A file is read, or it is to blame itself."""


def _version_of(path: Path) -> str:
    try:
        return _version(path.stat())
    except OSError:
        return ""


def _version(found: os.stat_result) -> str:
    """When a file was written, in nanoseconds, and its size."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"
