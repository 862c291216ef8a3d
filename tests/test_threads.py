"""Limits on the threads of libraries."""

import numpy as np  # noqa: F401 - brings the library that is limited
from threadpoolctl import threadpool_info, threadpool_limits

from pt4al_backend.threads import one_thread


def counts() -> set[int]:
    """Of each BLAS that has threads of its own; one with those of OpenMP, such as that of faiss, has OpenMP's limits."""
    return {
        each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas" and each["threading_layer"] != "openmp"
    }


def test_limit_lasts_until_the_last_of_those_inside_has_left() -> None:
    with threadpool_limits(2, "blas"):
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert counts() == {1}
        second.__exit__(None, None, None)
        assert counts() == {2}
