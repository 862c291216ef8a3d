"""How many threads the libraries of numerics use, where several projects' work is done in one process."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_inside = 0
_limits = ExitStack()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps the libraries to one thread each.

    BLAS has one limit for the whole process: it is lifted when the last of those inside leaves. OpenMP has one for each thread.
    """
    global _inside
    libraries = ThreadpoolController()  # those that are loaded by now; selected, since a limit restores whatever it was made from
    with libraries.select(user_api="openmp").limit(limits=1):
        with _lock:
            _limits.enter_context(libraries.select(user_api="blas").limit(limits=1))
            _inside += 1
        try:
            yield
        finally:
            with _lock:
                _inside -= 1
                if not _inside:
                    _limits.close()
