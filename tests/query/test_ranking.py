from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.config.catalog import BATCH_ORDERS
from pt4al_backend.query.ranking import insert, rank, rounds_until, shrink, split, sweep

# Few distinct values, so that ties are common; among them the magnitudes that a sort of text gets wrong.
losses = st.lists(
    st.one_of(st.sampled_from([0.0, 1.5e-07, 9.9e-05, 0.015, 0.9, 1.7, 4.4]), st.floats(0, 100, allow_nan=False)), max_size=60
).map(lambda values: np.array(values, dtype=np.float64))


@st.composite
def pools(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    drawn = draw(losses)
    ids = draw(st.lists(st.integers(1, 2**40), min_size=len(drawn), max_size=len(drawn), unique=True))
    return drawn, np.array(ids, dtype=np.int64)


def test_ranking_sorts_numbers_not_text() -> None:
    drawn = np.array([9.9e-05, 4.4, 0.9, 1.9e-05, 10.0, 1.7])
    assert rank(drawn, np.arange(6)).tolist() == [4, 1, 5, 2, 0, 3]
    assert sorted(range(6), key=lambda i: str(drawn[i]), reverse=True) != [4, 1, 5, 2, 0, 3]


@given(pools())
def test_ranking_is_a_permutation_from_high_to_low_with_ties_by_id(pool: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    drawn, ids = pool
    order = rank(drawn, ids)
    assert sorted(order) == list(range(len(drawn)))
    keys = [(-drawn[i], ids[i]) for i in order]
    assert keys == sorted(keys)


@given(pools(), st.randoms())
def test_ranking_does_not_depend_on_the_order_of_the_pool(
    pool: tuple[NDArray[np.float64], NDArray[np.int64]], chance: Random
) -> None:
    drawn, ids = pool
    order = list(range(len(drawn)))
    chance.shuffle(order)
    other = np.array(order, dtype=np.int64)
    assert ids[rank(drawn, ids)].tolist() == ids[other][rank(drawn[other], ids[other])].tolist()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_losses_that_are_not_finite_are_refused(broken: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        rank(np.array([1.0, broken]), np.array([1, 2]))
    with pytest.raises(ValueError, match="not finite"):
        insert(np.array([broken]), np.array([1.0]), np.array([1]), 1)


def test_losses_without_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="3 losses for 2 ids"):
        rank(np.zeros(3), np.arange(2))


@given(st.integers(0, 300), st.integers(1, 40))
def test_batches_are_equal_slices_hardest_first(n: int, batches: int) -> None:
    numbers = split(n, batches)
    assert len(numbers) == n
    assert np.all(np.diff(numbers) >= 0)
    sizes = np.bincount(numbers, minlength=batches + 1)[1:]
    assert len(sizes) == batches
    assert sizes.max() - sizes.min() <= 1
    assert np.all(np.diff(sizes) <= 0)


def test_paper_s_50000_are_cut_into_ten_batches_of_5000() -> None:
    assert np.bincount(split(50_000, 10)).tolist() == [0] + [5_000] * 10


@pytest.mark.parametrize(("n", "batches"), [(10, 0), (-1, 3)])
def test_cut_into_no_batches_is_refused(n: int, batches: int) -> None:
    with pytest.raises(ValueError, match="cannot cut"):
        split(n, batches)


def test_late_arrival_joins_the_batch_of_its_place() -> None:
    ranked, batches = np.array([9.0, 8.0, 6.0, 5.0, 3.0, 2.0]), split(6, 3)
    late = np.array([99.0, 8.5, 7.0, 6.0, 4.0, 0.1])
    assert insert(late, ranked, batches, 1).tolist() == [1, 1, 1, 2, 2, 3]
    assert insert(late, ranked, batches, 2).tolist() == [2, 2, 2, 2, 2, 3]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_insertion_does_not_depend_on_the_order_of_the_ranked_tasks(order: list[int]) -> None:
    ranked, batches = np.array([5.0, 5.0, 5.0, 1.0])[order], np.array([1, 1, 2, 2])[order]
    assert insert(np.array([6.0, 5.0, 4.0]), ranked, batches, 1).tolist() == [1, 2, 2]


def test_late_arrivals_join_the_last_batch_once_it_is_open() -> None:
    assert insert(np.array([9.0, 0.0]), np.array([5.0, 1.0]), np.array([1, 2]), 7).tolist() == [2, 2]


def test_late_arrivals_into_an_unranked_pool_join_the_first_open_batch() -> None:
    assert insert(np.array([9.0, 0.0]), np.empty(0), np.empty(0, dtype=np.int64), 3).tolist() == [3, 3]


@given(losses.filter(len), st.integers(1, 8), st.lists(st.tuples(losses, st.integers(1, 8)), max_size=3))
def test_insertion_agrees_with_the_order_of_losses_wave_after_wave(
    start: NDArray[np.float64], batches: int, waves: list[tuple[NDArray[np.float64], int]]
) -> None:
    ranked = np.sort(start)[::-1]
    numbers = split(len(ranked), batches)
    last = numbers.max()
    first_open = 1
    for late, opening in waves:
        first_open = max(first_open, opening)  # rounds only advance
        found = insert(late, ranked, numbers, first_open)
        assert np.all(found >= min(first_open, last))
        assert np.all(found <= last)
        ranked, numbers = np.concatenate([ranked, late]), np.concatenate([numbers, found])
        still_open = np.minimum(np.maximum(numbers, first_open), last)
        for loss, batch in zip(late, found, strict=True):
            assert np.all(still_open[ranked > loss] <= batch)
            assert np.all(still_open[ranked < loss] >= batch)


@pytest.mark.parametrize(
    ("order", "expected"), [("hard_first", [1, 2, 3, 4, 5]), ("easy_first", [5, 4, 3, 2, 1]), ("interleaved", [1, 5, 2, 4, 3])]
)
def test_sweep_takes_the_batches_in_the_order_named(order: str, expected: list[int]) -> None:
    assert sweep(5, order).tolist() == expected


def test_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="no order 'sideways'"):
        sweep(5, "sideways")


@given(st.integers(1, 30), st.sampled_from(BATCH_ORDERS), st.integers(1, 90))
def test_sweep_has_every_batch_once_and_what_is_left_is_a_range(batches: int, order: str, round: int) -> None:
    swept = sweep(batches, order)
    assert sorted(swept.tolist()) == list(range(1, batches + 1))
    left = np.sort(swept[round % batches :])
    assert np.all(np.diff(left) == 1)
    wait = rounds_until(np.arange(1, batches + 1), swept, round)
    assert wait[swept[(round - 1) % batches] - 1] == 0
    assert sorted(wait.tolist()) == list(range(batches))


@given(losses.filter(len), st.integers(1, 8), st.sampled_from(BATCH_ORDERS), st.lists(losses, max_size=6))
def test_late_arrivals_join_a_batch_still_to_come_by_the_order_of_losses(
    start: NDArray[np.float64], batches: int, order: str, waves: list[NDArray[np.float64]]
) -> None:
    ranked = np.sort(start)[::-1]
    numbers = split(len(ranked), batches)
    for round, late in enumerate(waves[:batches]):
        left = sweep(batches, order)[round:]
        found = insert(late, ranked, numbers, int(left.min()), int(left.max()))
        assert set(found.tolist()) <= set(left.tolist())
        ranked, numbers = np.concatenate([ranked, late]), np.concatenate([numbers, found])
        within = np.clip(numbers, left.min(), left.max())
        for loss, batch in zip(late, found, strict=True):
            assert np.all(within[ranked > loss] <= batch)
            assert np.all(within[ranked < loss] >= batch)


@given(st.integers(1, 1000), st.integers(1, 50), st.integers(1, 1000))
def test_small_pool_shrinks_the_schedule_no_more_than_it_must(pool: int, rounds: int, query_size: int) -> None:
    fewer, smaller = shrink(pool, rounds, query_size)
    assert smaller == min(query_size, pool)
    assert 1 <= fewer <= rounds
    assert fewer * smaller <= pool
    assert fewer == rounds or (fewer + 1) * smaller > pool


def test_empty_pool_gets_one_round_of_nothing() -> None:
    assert shrink(0, 10, 20) == (1, 0)
