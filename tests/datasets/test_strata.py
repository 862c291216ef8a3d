"""An order of which any first part is a stratified sample."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pt4al_backend.datasets.strata import order


@given(st.lists(st.sampled_from("abcd"), max_size=80), st.integers(0, 3))
def test_each_group_has_its_share_of_any_first_part(groups: list[str], seed: int) -> None:
    found = order(groups, seed)
    assert sorted(found.tolist()) == list(range(len(groups)))
    sizes = Counter(groups)
    for count in range(len(groups) + 1):
        taken = Counter(groups[k] for k in found[:count].tolist())
        for name, size in sizes.items():
            assert abs(taken[name] - count * size / len(groups)) < len(sizes)


@given(st.integers(1, 8), st.integers(1, 8))
def test_groups_of_one_size_are_balanced(names: int, size: int) -> None:
    groups = [str(k) for k in range(names)] * size
    found = order(groups, 0)
    for share in range(1, size + 1):
        taken = Counter(groups[k] for k in found[: names * share].tolist())
        assert set(taken.values()) == {share}


def test_another_seed_is_another_order_within_the_groups_too() -> None:
    groups = ["a"] * 20 + ["b"] * 20
    one, other = order(groups, 0), order(groups, 1)
    assert np.array_equal(one, order(groups, 0))
    assert [k for k in one.tolist() if k < 20] != [k for k in other.tolist() if k < 20]
