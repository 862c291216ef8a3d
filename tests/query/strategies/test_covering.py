"""The strategies that query by features: Core-Set, BADGE, TypiClust."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.strategies import ModelOutput, Request
from pt4al_backend.query.strategies.badge import d2_sample
from tests.support.querying import build, query, unranked

BLOBS, SIZE = 4, 20
NOTHING = np.empty((0, BLOBS), np.float32)


def blobs(seed: int = 0) -> NDArray[np.float32]:
    """Images of four kinds, kind after kind; the later in its kind, the less typical of it."""
    rng = np.random.default_rng(seed)
    spread = np.tile(np.linspace(0.01, 0.3, SIZE), BLOBS)[:, None]
    return np.abs(np.eye(BLOBS).repeat(SIZE, 0) * 5 + spread * rng.normal(size=(BLOBS * SIZE, BLOBS))).astype(np.float32)


def kinds(picks: list[int]) -> list[int]:
    return [pick // SIZE for pick in picks]


@pytest.mark.parametrize("name", ["core_set", "typiclust"])
@pytest.mark.parametrize("known", [0, 3])
def test_kinds_without_a_label_come_first(name: str, known: int) -> None:
    features = blobs()
    labelled = features[SIZE * known : SIZE * (known + 1) : 4]
    assert sorted(kinds(query(name, BLOBS - 1, features, labelled))) == sorted({0, 1, 2, 3} - {known})


def test_core_set_takes_the_farthest_before_the_typical() -> None:
    features = np.array([[0, 0], [1, 0], [0, 1], [9, 9], [1, 1]], np.float32)
    assert query("core_set", 2, features, features[:1]) == [3, 4]


def test_typiclust_takes_a_typical_image_of_each_kind() -> None:
    features = blobs()
    picks = query("typiclust", BLOBS, features, NOTHING)
    assert sorted(kinds(picks)) == [0, 1, 2, 3]
    assert all(pick % SIZE < SIZE // 2 for pick in picks)


def test_typiclust_lets_the_kinds_take_turns() -> None:
    output = ModelOutput(np.arange(BLOBS * SIZE), {}, blobs(), NOTHING)
    found = build("typiclust").query(Request(unranked(BLOBS * SIZE), 1, BLOBS, 3 * BLOBS, np.random.default_rng(0), output))
    picks = kinds(found.positions.tolist())
    assert picks == picks[:BLOBS] * 3
    assert sorted(picks[:BLOBS]) == [0, 1, 2, 3]


def test_typiclust_takes_outliers_last() -> None:
    features = np.concatenate([blobs()[: 2 * SIZE], np.full((3, BLOBS), [-9, -9, 9, 9], np.float32)])
    picks = query("typiclust", 3, features, NOTHING)
    assert all(pick < 2 * SIZE for pick in picks)
    everything = query("typiclust", len(features), features, NOTHING)
    assert sorted(everything) == list(range(len(features)))


def test_typiclust_measures_a_part_of_a_large_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pt4al_backend.query.strategies.typiclust.MOST_MEASURED", 7)
    picks = query("typiclust", BLOBS * SIZE, blobs(), NOTHING)
    assert sorted(picks) == list(range(BLOBS * SIZE))


def test_typiclust_measures_typicality_by_the_neighbours_in_the_cluster() -> None:
    """One cluster on a line: the five nearest others of ten are nearest to those in the middle, and the last stands apart."""
    features = np.array([[1, place / 100] for place in (0, 1, 2, 3, 4, 5, 6, 7, 8, 20)], np.float32)
    order = query("typiclust", 10, features, NOTHING[:, :2], query_size=1)
    assert set(order[:5]) == {2, 3, 4, 5, 6}
    assert order[-1] == 9


def test_typiclust_ignores_the_length_of_features() -> None:
    lengths = np.random.default_rng(1).choice([1e-30, 1, 1e30], (BLOBS * SIZE, 1))
    assert query("typiclust", BLOBS, (blobs() * lengths).astype(np.float32), NOTHING) == query(
        "typiclust", BLOBS, blobs(), NOTHING
    )


@pytest.mark.parametrize("sample", [20_000, 120])
def test_typiclust_finds_clusters_far_apart(monkeypatch: pytest.MonkeyPatch, sample: int) -> None:
    """On all images, and on a sample of them."""
    monkeypatch.setattr("pt4al_backend.query.strategies._k_means.SAMPLE", sample)
    count = 6
    rng = np.random.default_rng(0)
    features = np.eye(count).repeat(30, 0) * 100 + rng.normal(size=(30 * count, count))
    picks = query("typiclust", count, features.astype(np.float32), NOTHING[:, :1].repeat(count, 1))
    assert len({pick // 30 for pick in picks}) == count


def test_typiclust_with_more_clusters_than_distinct_images_leaves_some_empty() -> None:
    features = np.array([[1, 0], [0, 1]] * 4, np.float32)
    assert sorted(query("typiclust", 8, features, NOTHING[:, :2])) == list(range(8))


def badge_by_gradients(
    features: NDArray[np.float32], posteriors: NDArray[np.float32], k: int, rng: np.random.Generator
) -> list[int]:
    """The published algorithm on gradients that are written down."""
    errors = posteriors.astype(np.float64)
    errors[np.arange(len(errors)), errors.argmax(1)] -= 1
    gradients = np.einsum("nc,nd->ncd", errors, features.astype(np.float64)).reshape(len(errors), -1)
    picks = [int(np.linalg.norm(gradients, axis=1).argmax())]
    while len(picks) < k:
        nearest = ((gradients[:, None] - gradients[picks]) ** 2).sum(2).min(1)
        nearest[picks] = 0
        picks.append(int(np.searchsorted(nearest.cumsum(), rng.random() * nearest.sum(), side="right")))
    return picks


@pytest.mark.parametrize("seed", range(5))
def test_badge_samples_as_if_it_had_written_the_gradients_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.exponential(size=(30, 6)).astype(np.float32)
    posteriors = rng.dirichlet(np.ones(3), 30).astype(np.float32)
    expected = badge_by_gradients(features, posteriors, 10, np.random.default_rng(seed))
    assert query("badge", 10, features, features[:2], seed, posteriors=posteriors) == expected


def to_each(places: list[float]) -> Callable[[int], NDArray[np.float32]]:
    points = np.array(places, np.float32)
    return lambda i: (points - points[i]) ** 2


def test_d2_sampling_draws_in_proportion_to_squared_distance() -> None:
    drawn = [d2_sample(0, 3, 2, to_each([0, 1, 3]), np.random.default_rng(seed))[1] for seed in range(2000)]
    # 1 : 9, so 200 of 2,000, with a standard deviation of 13
    assert abs(drawn.count(1) - 200) < 60
    assert set(drawn) == {1, 2}


def test_d2_sampling_takes_points_that_lie_on_picks_last_and_none_twice() -> None:
    for seed in range(20):
        found = d2_sample(2, 5, 9, to_each([4, 0, 4, 9, 4]), np.random.default_rng(seed))
        assert found[0] == 2
        assert set(found[1:3].tolist()) == {1, 3}
        assert found[3:].tolist() == [0, 4]


def test_badge_takes_last_what_would_change_nothing() -> None:
    posteriors = np.array([[1, 0], [0.6, 0.4], [0, 1], [0.5, 0.5]], np.float32)
    assert set(query("badge", 4, np.ones((4, 2), np.float32), NOTHING[:, :2], posteriors=posteriors)[2:]) <= {0, 1, 2}
    assert query("badge", 1, np.ones((4, 2), np.float32), NOTHING[:, :2], posteriors=posteriors) == [3]


@pytest.mark.parametrize("name", ["core_set", "badge", "typiclust"])
def test_output_without_features_is_refused(name: str) -> None:
    output = ModelOutput(np.arange(3), confidences(np.full((3, 2), 0.5)))
    with pytest.raises(ValueError, match="needs features"):
        build(name).query(Request(unranked(3), 2, 1, 1, np.random.default_rng(0), output))


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"features": np.ones((2, 3)), "labelled": np.ones((1, 3))}, r"features of shape \[2, 3\] for 4 tasks"),
        ({"features": np.ones(4), "labelled": np.ones((1, 3))}, "features of shape"),
        ({"features": np.ones((4, 3)), "labelled": np.ones((1, 2))}, "features of 3 and 2 columns"),
        ({"features": np.ones((4, 3))}, "go together"),
        ({"labelled": np.ones((4, 3))}, "go together"),
        ({"features": np.full((4, 3), np.inf), "labelled": np.ones((1, 3))}, "features are not finite"),
        ({"features": np.ones((4, 3)), "labelled": np.full((1, 3), np.nan)}, "labelled are not finite"),
        ({"posteriors": np.ones((5, 2))}, "posteriors of shape"),
        ({"posteriors": np.full((4, 2), np.nan)}, "posteriors are not finite"),
    ],
)
def test_output_that_does_not_fit_the_candidates_is_refused(arrays: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ModelOutput(np.arange(4), {}, **arrays)
