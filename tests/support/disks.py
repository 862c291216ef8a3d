"""Disks that are small enough to be filled."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(megabytes: int) -> Iterator[Path]:
    """A file system of its own; the test is skipped unless it runs as root.

    It lies outside pytest's folder, from which a later session could not remove what an interrupted one left mounted.
    """
    with tempfile.TemporaryDirectory(prefix="pt4al-disk-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a disk that is small enough to be filled")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """Fills a disk to the last byte; returns the file that takes the space."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))
    return filler
