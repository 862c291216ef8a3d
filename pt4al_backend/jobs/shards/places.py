"""Which work folder a name means."""

from pathlib import Path

from pt4al_backend.jobs.shards.bucket import BucketFolder
from pt4al_backend.jobs.shards.folder import LocalFolder, WorkFolder


def work_folder(place: str, copies: Path) -> WorkFolder:
    """The work folder at a path or an fsspec URL; of what is in an object store, copies are kept in a folder of this host.

    Raises:
        ConfigError: no package is installed for the URL.
    """
    return BucketFolder(place, copies) if "://" in place else LocalFolder(Path(place))
