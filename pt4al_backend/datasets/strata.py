"""An order of which any first part is a stratified sample. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def order(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Positions int64 [n] of the members of ``groups``, the same each time for a seed.

    The members of a group are shuffled and spread evenly over the whole, so that each group has nearly the share of any
    first part that it has of all; groups of one size, the same to within one member.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(groups))
    _, group, sizes = np.unique(np.array(groups, np.str_)[shuffled], return_inverse=True, return_counts=True)
    by_group = np.argsort(group, kind="stable")
    rank = np.empty(len(groups), np.int64)  # of each among its group's
    rank[by_group] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray(shuffled[np.argsort((rank + 0.5) / sizes[group], kind="stable")], dtype=np.int64)
