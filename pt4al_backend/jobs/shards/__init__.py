"""Features of millions of images: the listing is cut into shards, which any number of processes on any hosts work through.

A shard is one artefact: the features of its images, which are read where they lie and not kept. Who works at a shard holds its
claim, which ends with its holder. So a process that is killed costs the shards that it held, and nobody assigns any.
"""

from pathlib import Path

from pt4al_backend.jobs.shards.bucket import BucketFolder
from pt4al_backend.jobs.shards.folder import LocalFolder, WorkFolder

__all__ = ["WorkFolder", "work_folder"]


def work_folder(place: str, copies: Path) -> WorkFolder:
    """The work folder at a path or an fsspec URL; of what is in an object store, copies are kept in a folder of this host.

    Raises:
        ConfigError: no package is installed for the URL.
    """
    return BucketFolder(place, copies) if "://" in place else LocalFolder(Path(place))
