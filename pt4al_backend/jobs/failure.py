"""Why a job cannot be done, as its child process sends it to the worker."""

from dataclasses import dataclass

from pt4al_backend.errors import Part


@dataclass(frozen=True)
class Failure:
    """The message and the remedy of an expected error; ``damaged`` is the part of the project's files to be made again."""

    error: str
    remedy: str = ""
    damaged: Part | None = None
