"""Where images lie that are ranked before import: files of this machine, a bucket, or the listings of a web server."""

from collections.abc import Sequence

from pt4al_backend.errors import ConfigError
from pt4al_backend.images.sources.base import Source
from pt4al_backend.images.sources.files import Files
from pt4al_backend.images.sources.image_store import Note
from pt4al_backend.images.sources.remote import Remote

__all__ = ["Files", "Remote", "Source", "find", "source_of"]


def find(arguments: Sequence[str], note: Note) -> Source:
    """Finds images: by URLs of buckets and listings, or by files, folders and patterns.

    Of URLs, ``note`` is told what was left out: folders that cannot be listed, and how many objects are no images.

    Raises:
        ConfigError: an argument names nothing, there is no image, or URLs and files are mixed.
        BucketUnavailable: the store cannot be reached, or refuses.
    """
    remote = ["://" in each for each in arguments]
    if any(remote) and not all(remote):
        raise ConfigError("Files and URLs cannot be ranked together.", "Name one kind, or rank them one after the other.")
    return Remote.find(arguments, note) if any(remote) else Files.find(arguments)


def source_of(names: Sequence[str], root: str) -> Source:
    """The source of images that ``find`` gave these names and this root earlier.

    Raises:
        ConfigError: what reads them is not installed.
    """
    is_remote = bool(names) and "://" in names[0]
    return Remote.of(names, root) if is_remote else Files(names, root)
