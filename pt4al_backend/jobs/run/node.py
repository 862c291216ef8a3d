"""What a node of a cluster does for a job: it runs the child beside the job's folder, and hands on what that says."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pt4al_backend.jobs.folder import LOG, job_of
from pt4al_backend.processes import bare_environment

#: Lets glibc keep what is freed. A network's layers ask for the same megabytes again and again, and to get them from the kernel
#: takes up to 40 % of the time of a forward pass (docs/numbers.md). Other allocators know none of it.
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


def child_command(folder: Path) -> list[str]:
    """The command line of a job's child process (see ``child``)."""
    return [sys.executable, "-m", "pt4al_backend.jobs.child", str(folder)]


def environment_of(folder: Path) -> dict[str, str]:
    """The environment of a job's child process."""
    job = job_of(folder)
    own = bare_environment(reads_stores=job is not None and job.reads_stores)
    return {**KEEPS_MEMORY, **own, "PYTHONUNBUFFERED": "1"}


def follow(folder: str) -> Iterator[bytes | int | None]:
    """Runs a job's child: yields each line that it writes, at last its exit status; None alone if the folder is not there.

    The child ends with the process that this runs in.
    """
    if not Path(folder).is_dir():
        yield None
        return
    with (Path(folder) / LOG).open("ab") as errors:
        command, environment = child_command(Path(folder)), environment_of(Path(folder))
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603
    assert child.stdout is not None  # noqa: S101 - PIPE was given
    try:
        for line in child.stdout:  # noqa: UP028 - Ray sends to the generator, which a file does not understand
            yield line
        yield child.wait()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
