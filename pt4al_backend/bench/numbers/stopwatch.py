"""How long a piece of work takes."""

import time
from collections.abc import Callable


def seconds_of(work: Callable[[], object]) -> float:
    """Wall clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
