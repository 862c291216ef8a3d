"""The plan of a round, by property."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.draws import uniform_order
from pt4al_backend.query.plan import (
    Choice,
    StoredOutput,
    arrange,
    choose,
    fit_schedule,
    for_task,
    require_fit,
    scores_after,
    strategy_of,
)
from pt4al_backend.query.ranking import cut_batches
from pt4al_backend.query.strategies import Pool, Request
from tests.support.ranked import ranked, task_ids

pools = st.integers(0, 3000)
seeds = st.integers(0, 2**32)


@st.composite
def settings(draw: st.DrawFn) -> ProjectSettings:
    return ProjectSettings(
        rounds=draw(st.integers(1, 50)),
        query_size=draw(st.none() | st.integers(1, 500)),
        reserve_size=draw(st.none() | st.integers(0, 500)),
        control_share=draw(st.floats(0, 0.5)),
    )


def model(ids: NDArray[np.int64], posteriors: NDArray[np.float64]) -> StoredOutput:
    return StoredOutput(ids, confidences(posteriors), np.full(len(ids), "cat"))


@given(pools, settings())
def test_sweep_never_needs_more_than_the_pool_holds(n: int, settings: ProjectSettings) -> None:
    schedule = fit_schedule(n, settings)
    assert schedule.rounds >= 1
    assert schedule.rounds * schedule.query <= n
    assert 0 <= schedule.control <= max(schedule.query - 1, 0)
    assert schedule.query >= min(n, 1)


@given(pools, settings())
def test_schedule_that_had_to_shrink_has_a_notice(n: int, settings: ProjectSettings) -> None:
    schedule = fit_schedule(n, settings)
    wanted = (settings.rounds, settings.query_size or max(20, round(0.02 * n)))
    assert bool(schedule.notice) == (n > 0 and (schedule.rounds, schedule.query) != wanted)
    if schedule.notice:
        assert f"{schedule.rounds} of {schedule.query}" in schedule.notice


@pytest.mark.parametrize(("n", "query"), [(50_000, 1000), (5000, 100), (1000, 20), (300, 20)])
def test_default_query_is_two_percent_of_the_pool_and_at_least_twenty(n: int, query: int) -> None:
    schedule = fit_schedule(n, ProjectSettings())
    assert (schedule.rounds, schedule.query, schedule.control, schedule.reserve, schedule.notice) == (
        10,
        query,
        query // 10,
        query,
        "",
    )


def test_paper_preset_has_no_control_picks_and_no_reserve() -> None:
    schedule = fit_schedule(50_000, ProjectSettings(preset="paper"))
    assert (schedule.rounds, schedule.query, schedule.control, schedule.reserve) == (10, 1000, 0, 0)


@given(st.integers(1, 200), st.integers(1, 20), seeds)
def test_batches_descend_in_loss(n: int, batches: int, seed: int) -> None:
    pool = ranked(n, batches, seed)
    assert set(pool.batches.tolist()) <= set(range(1, batches + 1))
    ordered = pool.batches[np.argsort(-pool.losses)]
    assert (np.diff(ordered) >= 0).all()


@given(st.integers(1, 200), st.integers(1, 20), seeds)
def test_batches_without_losses_are_slices_of_a_uniform_order(n: int, batches: int, seed: int) -> None:
    ids = task_ids(n, seed)
    batch = cut_batches(ids, np.full(n, np.nan), batches, seed)
    assert (np.diff(batch[np.argsort(uniform_order(ids, seed))]) >= 0).all()
    assert np.ptp(np.bincount(batch, minlength=batches + 1)[1:]) <= 1


@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 40), st.integers(0, 40), st.integers(0, 60), seeds)
def test_choice_has_the_requested_length_without_duplicates(
    n: int, batches: int, query: int, reserve: int, known: int, seed: int
) -> None:
    pool = ranked(n, batches, seed)
    rng = np.random.default_rng(seed)
    strategy = strategy_of(ProjectSettings(), batches)
    gone = pool.ids.max() + 1 + np.arange(3)  # scored, and deleted since
    scored = rng.permutation(np.concatenate([rng.permutation(pool.ids)[:known], gone]))
    stored = model(scored, rng.dirichlet(np.ones(3), len(scored)))
    choice = choose(strategy, Request(pool, 2, query, query + reserve, rng), stored)
    assert len(choice.ids) == len(choice.scores) == len(choice.rows) == min(n, query + reserve)
    assert len(set(choice.ids.tolist())) == len(choice.ids)
    assert np.isin(choice.ids, pool.ids).all()
    with_model = choice.rows >= 0
    assert (scored[choice.rows[with_model]] == choice.ids[with_model]).all()
    # what the model scored comes before what it did not
    assert (np.diff(with_model.astype(int)) <= 0).all()
    assert np.isin(choice.ids[~with_model], scored).sum() == 0


def test_least_confident_of_the_round_s_batch_come_first() -> None:
    pool = ranked(40, 4, 3)
    posteriors = np.random.default_rng(5).dirichlet(np.ones(4), 40)
    strategy = strategy_of(ProjectSettings(sampler="least_confidence", batch_order="hard_first"), 4)
    request = Request(pool, 2, 10, 20, np.random.default_rng(0))
    choice = choose(strategy, request, model(pool.ids, posteriors))
    second = np.flatnonzero(pool.batches == 2)
    assert choice.ids[:10].tolist() == pool.ids[second[np.argsort(posteriors[second].max(1))]].tolist()
    assert np.allclose(choice.scores[:10], np.sort(posteriors[second].max(1)))


def featured(ids: NDArray[np.int64], places: NDArray[np.float64], labelled: list[float]) -> StoredOutput:
    """The output of a model of two classes with one feature."""
    posteriors = np.full((len(ids), 2), 0.5)
    return replace(
        model(ids, posteriors),
        features=places[:, None].astype(np.float32),
        labelled=np.array(labelled, np.float32)[:, None],
        posteriors=posteriors.astype(np.float32),
    )


def test_strategy_by_features_gets_those_of_the_tasks_that_are_left() -> None:
    """And what has left the pool since it was scored counts as labelled: 90 and 10 cover 8 and 80, so 45 is next."""
    ids = np.array([8, 10, 45, 80, 90])
    pool = Pool(ids[[0, 2, 3]], np.full(3, np.nan), np.ones(3, np.int64))
    strategy = strategy_of(ProjectSettings(strategy="core_set"), 4)
    request = Request(pool, 2, 3, 3, np.random.default_rng(0))
    choice = choose(strategy, request, featured(ids, ids.astype(float), [0.0]))
    assert choice.ids.tolist() == [45, 80, 8]
    assert choice.rows.tolist() == [2, 3, 0]


@pytest.mark.parametrize(
    "settings",
    [{"strategy": "typiclust"}, {"strategy": "drop_query"}, {"first_query": "herding", "sampler": "normalised_confidence"}],
    ids=lambda each: next(iter(each.values())),
)
def test_pretext_learners_features_are_enough_for_a_first_query(settings: dict[str, str]) -> None:
    """Three kinds of images that lie far apart, of which the ranking knows nothing."""
    ids = np.arange(9)
    pool = Pool(ids, np.linspace(2, 1, 9), np.ones(9, np.int64))
    features = np.eye(3, dtype=np.float16).repeat(3, 0)
    learner = StoredOutput(ids, {}, np.full(9, ""), features)
    strategy = strategy_of(ProjectSettings(**settings), 1)  # type: ignore[arg-type]
    choice = choose(strategy, Request(pool, 1, 3, 3, np.random.default_rng(0)), learner)
    assert sorted(choice.ids // 3) == [0, 1, 2]
    assert (choice.rows >= 0).all()


@pytest.mark.parametrize("name", ["core_set", "badge", "core_gcn", "drop_query"])
def test_output_for_another_strategy_counts_as_no_model(name: str) -> None:
    pool = ranked(40, 4, 3)
    strategy = strategy_of(ProjectSettings(strategy=name), 4)
    request = Request(pool, 2, 10, 20, np.random.default_rng(0))
    choice = choose(strategy, request, model(pool.ids, np.full((40, 2), 0.5)))
    assert choice.ids[:10].tolist() == choose(strategy, request, StoredOutput()).ids[:10].tolist()
    assert (choice.rows == -1).all()


@pytest.mark.parametrize(("task", "words"), [("segmentation", "segmentation"), ("multilabel", "multi-label classification")])
def test_strategy_that_needs_posteriors_of_images_is_refused_with_those_that_work(task: str, words: str) -> None:
    for strategy in ("badge", "drop_query"):
        require_fit(ProjectSettings(strategy=strategy), "classification")
    with pytest.raises(ConfigError, match="Setting 'sampler': 'normalised_confidence' needs posteriors") as refused:
        require_fit(ProjectSettings(sampler="normalised_confidence"), task)
    assert "Use one of least_confidence, margin, entropy, k_center" in refused.value.remedy
    with pytest.raises(ConfigError, match=f"'badge' needs posteriors .* {words}") as refused:
        require_fit(ProjectSettings(strategy="badge"), task)
    named = refused.value.remedy.partition(".")[0].removeprefix("Use one of ").split(", ")
    assert "core_set" in named
    assert not {"badge", "pal", "drop_query"} & set(named)
    for strategy in named:
        require_fit(ProjectSettings(strategy=strategy), task)


@pytest.mark.parametrize(
    ("settings", "task", "problem"),
    [
        ({"strategy": "vaal"}, "classification", "'strategy': 'vaal' trains a network"),
        ({"sampler": "normalised_confidence"}, "classification", "'sampler': 'normalised_confidence' trains a network"),
        ({"pretext": "jigsaw"}, "classification", "'pretext': on the frozen encoder .* not 'jigsaw'"),
    ],
)
def test_what_a_frozen_encoder_cannot_do_is_refused(settings: dict[str, str], task: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        require_fit(ProjectSettings(encoder="tf_efficientnet_lite0", **settings), task)
    require_fit(ProjectSettings(encoder="tf_efficientnet_lite0"), "classification")
    if task == "classification":
        require_fit(ProjectSettings(encoder="tf_efficientnet_lite0", tuning="full", **settings), task)


@pytest.mark.parametrize("tuning", ["auto", "head", "full"])
def test_segmenter_on_a_pretrained_encoder_is_queried_as_any_network(tuning: str) -> None:
    settings = ProjectSettings(encoder="tf_efficientnet_lite0", tuning=tuning)
    require_fit(settings.model_copy(update={"strategy": "vaal", "pretext": "colorization"}), "segmentation")
    read = for_task(settings, "segmentation")
    assert read.rules()[:2] == ProjectSettings().rules()[:2]
    assert fit_schedule(1000, read) == fit_schedule(1000, ProjectSettings())
    assert for_task(settings, "classification") == settings


def test_encoder_that_was_chosen_is_used_where_the_settings_name_none() -> None:
    chosen = "tf_efficientnet_lite0.in1k"
    assert for_task(ProjectSettings(), "classification", chosen).encoder == chosen
    assert for_task(ProjectSettings(encoder="resnet18"), "classification", chosen).encoder == "resnet18"
    of_segmenter = for_task(ProjectSettings(), "segmentation", chosen)
    assert (of_segmenter.encoder, of_segmenter.tuning) == (chosen, "full")
    assert for_task(ProjectSettings(), "classification", "none").encoder is None


@pytest.mark.parametrize("encoder", [None, "resnet18"])
def test_head_without_a_pretrained_encoder_is_refused(encoder: str | None) -> None:
    with pytest.raises(ConfigError, match=r"'tuning': 'head'.*'encoder' names none"):
        require_fit(ProjectSettings(encoder=encoder, tuning="head"), "classification")


def test_choice_without_a_model_follows_the_ranking() -> None:
    pool = ranked(40, 4, 3)
    strategy = strategy_of(ProjectSettings(), 4)
    choice = choose(strategy, Request(pool, 3, 8, 12, np.random.default_rng(0)), StoredOutput())
    ranking = pool.ids[np.argsort(-pool.losses)]
    assert choice.ids[:8].tolist() == ranking[::5].tolist()
    assert len(set(choice.ids.tolist())) == 12
    assert (choice.rows == -1).all()


@given(st.integers(0, 50), st.integers(0, 30), st.integers(0, 20), st.sampled_from([0.0, 0.5, 1.0, None]), seeds)
def test_picks_keep_the_order_and_their_scores_ascend_strictly(
    n: int, query: int, controls: int, score: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ids = task_ids(n + controls, seed)
    ids = rng.permutation(ids)
    scores = np.sort(rng.random(n)) if score is None else np.full(n, score)
    rows = rng.permutation(n)
    picks = arrange(Choice(ids[:n], scores, rows), query, ids[n:])
    kinds = np.array(picks.kinds)
    assert picks.ids[kinds != "control"].tolist() == ids[:n].tolist()
    assert picks.ids[kinds == "control"].tolist() == ids[n:].tolist()
    assert picks.rows[kinds != "control"].tolist() == rows.tolist()
    assert (picks.rows[kinds == "control"] == -1).all()
    assert (kinds == "query").sum() == min(n, query)
    assert "reserve" not in kinds[: min(n, query) + controls]
    assert (np.diff(picks.scores) > 0).all()
    assert ((picks.scores >= 0) & (picks.scores <= 1)).all()


def test_first_pick_is_a_control_pick_and_the_others_are_spread() -> None:
    choice = Choice(np.arange(1, 19), np.arange(18) / 18, np.arange(18))
    picks = arrange(choice, 18, np.array([101, 102]))
    assert [place for place, kind in enumerate(picks.kinds) if kind == "control"] == [0, 10]


def test_queue_can_be_lengthened_again_and_again() -> None:
    picks = arrange(Choice(np.arange(1000), np.ones(1000), np.full(1000, -1)), 1000, np.empty(0, np.int64))
    last = float(picks.scores[-1])
    for _ in range(25):
        more = scores_after(last, 1000)
        assert more[0] > last
        assert (np.diff(more) > 0).all()
        assert more[-1] <= 1
        last = float(more[-1])


def test_rounds_on_features_are_small_and_alternate_between_two_batches() -> None:
    schedule = fit_schedule(10_000, ProjectSettings(encoder="tf_efficientnet_lite0.in1k"))
    assert (schedule.query, schedule.batches) == (10, 2)
