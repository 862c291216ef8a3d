"""Locks on files, which the kernel frees when their holder ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any


@contextmanager
def held(file: IO[Any], *, wait: bool) -> Iterator[bool]:
    """Locks an open file for this process; False if another one has it, which ``wait`` waits for."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:  # closing is not enough: a child that another thread is just starting may hold the file open a moment longer
        fcntl.flock(file, fcntl.LOCK_UN)
