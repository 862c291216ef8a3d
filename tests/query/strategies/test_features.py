"""The strategies that ask by features: Core-Set, BADGE, TypiClust, CoreGCN, UncertainGCN."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.config.catalog import STRATEGIES
from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.strategies import ModelOutput, Pool, Request, Strategy

BLOBS, SIZE = 4, 20
NOTHING = np.empty((0, BLOBS), np.float32)


def blobs(seed: int = 0) -> NDArray[np.float32]:
    """Images of four kinds, kind after kind; the later in its kind, the less typical of it."""
    rng = np.random.default_rng(seed)
    spread = np.tile(np.linspace(0.01, 0.3, SIZE), BLOBS)[:, None]
    return np.abs(np.eye(BLOBS).repeat(SIZE, 0) * 5 + spread * rng.normal(size=(BLOBS * SIZE, BLOBS))).astype(np.float32)


def unranked(n: int = BLOBS * SIZE) -> Pool:
    return Pool(np.arange(n), np.full(n, np.nan), np.ones(n, np.int64))


def build(name: str, **options: Any) -> Strategy:
    return STRATEGIES.load(name, Strategy)(**{"rounds": 1, "first_query": "stratified", "sampler": "margin", **options})


def ask(name: str, k: int, features: NDArray[np.float32], labelled: NDArray[np.float32], seed: int = 0, **said: Any) -> list[int]:
    n = len(features)
    posteriors = said.get("posteriors", np.full((n, 2), 0.5, np.float32))
    spoken = ModelOutput(np.arange(n), confidences(posteriors), features, labelled, posteriors)
    request = Request(unranked(n), 2, k, k, np.random.default_rng(seed), spoken)
    return build(name).query(request).positions.tolist()


def kinds(picks: list[int]) -> list[int]:
    return [pick // SIZE for pick in picks]


@pytest.mark.parametrize("name", ["core_set", "typiclust", "core_gcn"])
@pytest.mark.parametrize("known", [0, 3])
def test_kinds_that_nobody_labelled_come_first(name: str, known: int) -> None:
    features = blobs()
    labelled = features[SIZE * known : SIZE * (known + 1) : 4]
    assert sorted(kinds(ask(name, BLOBS - 1, features, labelled))) == sorted({0, 1, 2, 3} - {known})


def test_the_graph_network_asks_what_is_unlike_the_labelled() -> None:
    """Half of the labels are of kind 0 and half of kind 1: the network is unsure of 2 and 3."""
    features = blobs()
    picks = ask("uncertain_gcn", SIZE, features, features[: 2 * SIZE])
    assert set(kinds(picks)) <= {2, 3}


def test_core_set_takes_the_farthest_before_the_typical() -> None:
    features = np.array([[0, 0], [1, 0], [0, 1], [9, 9], [1, 1]], np.float32)
    assert ask("core_set", 2, features, features[:1]) == [3, 4]


def test_typiclust_asks_the_most_typical_image_of_each_kind() -> None:
    features = blobs()
    picks = ask("typiclust", BLOBS, features, NOTHING)
    assert sorted(kinds(picks)) == [0, 1, 2, 3]
    assert all(pick % SIZE < SIZE // 2 for pick in picks)


def test_typiclust_takes_turns_among_the_kinds() -> None:
    said = ModelOutput(np.arange(BLOBS * SIZE), {}, blobs(), NOTHING)
    found = build("typiclust").query(Request(unranked(), 1, BLOBS, 3 * BLOBS, np.random.default_rng(0), said))
    picks = kinds(found.positions.tolist())
    assert picks == picks[:BLOBS] * 3
    assert sorted(picks[:BLOBS]) == [0, 1, 2, 3]


def test_typiclust_asks_outliers_after_everything_else() -> None:
    features = np.concatenate([blobs()[: 2 * SIZE], np.full((3, BLOBS), [-9, -9, 9, 9], np.float32)])
    picks = ask("typiclust", 3, features, NOTHING)
    assert all(pick < 2 * SIZE for pick in picks)
    everything = ask("typiclust", len(features), features, NOTHING)
    assert sorted(everything) == list(range(len(features)))


def test_typiclust_measures_a_crowd_by_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pt4al_backend.query.strategies.typiclust.CROWD", 7)
    picks = ask("typiclust", BLOBS * SIZE, blobs(), NOTHING)
    assert sorted(picks) == list(range(BLOBS * SIZE))


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
def test_badge_samples_gradients_without_writing_them_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.exponential(size=(30, 6)).astype(np.float32)
    posteriors = rng.dirichlet(np.ones(3), 30).astype(np.float32)
    expected = badge_by_gradients(features, posteriors, 10, np.random.default_rng(seed))
    assert ask("badge", 10, features, features[:2], seed, posteriors=posteriors) == expected


def test_badge_asks_last_what_would_change_nothing() -> None:
    posteriors = np.array([[1, 0], [0.6, 0.4], [0, 1], [0.5, 0.5]], np.float32)
    assert set(ask("badge", 4, np.ones((4, 2), np.float32), NOTHING[:, :2], posteriors=posteriors)[2:]) <= {0, 1, 2}
    assert ask("badge", 1, np.ones((4, 2), np.float32), NOTHING[:, :2], posteriors=posteriors) == [3]


@pytest.mark.parametrize("name", ["core_set", "badge", "typiclust", "core_gcn", "uncertain_gcn"])
def test_a_model_that_was_not_asked_for_features_is_refused(name: str) -> None:
    said = ModelOutput(np.arange(3), confidences(np.full((3, 2), 0.5)))
    with pytest.raises(ValueError, match="needs features"):
        build(name).query(Request(unranked(3), 2, 1, 1, np.random.default_rng(0), said))


def test_a_graph_is_made_of_a_uniform_draw_that_each_round_makes_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pt4al_backend.query.strategies.companionship.SUBSET", 30)
    first, second = (build("core_gcn").candidates(unranked(), round, 10).tolist() for round in (2, 3))
    assert len(first) == len(second) == 30
    assert set(first) != set(second)
    assert len(build("core_gcn").candidates(unranked(), 2, 50)) == 50


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
def test_arrays_that_do_not_fit_the_candidates_are_refused(arrays: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ModelOutput(np.arange(4), {}, **arrays)
