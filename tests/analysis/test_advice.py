"""The stop advice: one sentence with its reason, and what it rests on."""

import pytest
from hypothesis import given, settings

from pt4al_backend.analysis.advice import Verdict, advise, price, price_sentence, rounded
from pt4al_backend.analysis.forecast import Estimate, Forecast
from pt4al_backend.analysis.learning_curve import Point
from tests.analysis.test_forecast import curves, measured
from tests.support.curves import counted


def advice_on(points: list[Point], unlabelled: int = 10_000) -> tuple[Verdict, str]:
    found = advise(points, Forecast(points) if points else None, "accuracy", unlabelled)
    return found.verdict, found.sentence


def test_project_without_model_is_told_what_it_lacks() -> None:
    verdict, sentence = advice_on([])
    assert verdict is Verdict.UNMEASURED
    assert "first round that is trained" in sentence


def test_steep_curve_says_go_on_and_why() -> None:
    verdict, sentence = advice_on(measured(5, 200))
    assert verdict is Verdict.GO_ON
    assert sentence.startswith("Go on: 500 more labels would bring about ")
    assert "points of accuracy (95 %: " in sentence


def test_flat_curve_of_many_picks_says_that_little_is_left() -> None:
    flat = [counted(n, 100 * n, 190 * n, 200 * n) for n in range(1, 21)]
    verdict, sentence = advice_on(flat)
    assert verdict is Verdict.LITTLE_LEFT
    assert sentence.startswith("Little is left to win: 2,000 more labels")


def test_twelve_picks_are_too_few_and_the_sentence_says_how_many_are_missing() -> None:
    verdict, sentence = advice_on([counted(1, 40, 11, 12)])
    assert verdict is Verdict.TOO_FEW_PICKS
    assert "by 12 control picks" in sentence
    assert "33 more control picks would halve the interval" in sentence


def test_no_more_labels_are_advised_than_images_are_left() -> None:
    assert "30 more labels would" in advice_on(measured(5, 60), unlabelled=30)[1]
    assert advice_on(measured(5, 60), unlabelled=0) == (Verdict.ALL_LABELLED, "No image is left to label.")


@settings(max_examples=40, deadline=None)
@given(curves())
def test_any_curve_gets_one_advice_with_a_reason(points: list[Point]) -> None:
    found = advise(points, Forecast(points), "mIoU", 10**7)
    assert found.verdict not in (Verdict.UNMEASURED, Verdict.ALL_LABELLED)
    assert "mIoU" in found.sentence
    assert "nan" not in found.sentence
    assert "inf" not in found.sentence.lower()
    assert found.gain is not None


def test_price_of_three_points_is_in_labels_with_a_range() -> None:
    forecast = Forecast(measured(8, 300))
    gain, needed = price(forecast)
    assert gain == 0.03
    sentence = price_sentence(gain, needed, 100_000)
    assert sentence.startswith("About ")
    assert "more labels for +3 points (95 %: " in sentence


def test_price_of_a_good_model_is_asked_for_one_point() -> None:
    assert price(Forecast([counted(n, 100 * n, 970 * n, 1000 * n) for n in range(1, 6)]))[0] == 0.01


@pytest.mark.parametrize(
    ("needed", "left", "sentence"),
    [
        (Estimate(121.7, 243.2, 604.0), 9000, "About 240 more labels for +3 points (95 %: 120 to 600)."),
        (Estimate(121.7, 243.2, float("inf")), 9000, "About 240 more labels for +3 points (95 %: 120 to more than are left)."),
        (
            Estimate(121.7, float("inf"), float("inf")),
            9000,
            "+3 points probably take more labels than the 9,000 images that are left, at best about 120.",
        ),
        (
            Estimate(20_000.0, 1e300, float("inf")),
            9000,
            "+3 points probably take more labels than the 9,000 images that are left.",
        ),
    ],
)
def test_price_says_what_is_out_of_reach(needed: Estimate, left: int, sentence: str) -> None:
    assert price_sentence(0.03, needed, left) == sentence
    assert price_sentence(0.01, needed, left) == sentence.replace("+3 points", "+1 point").replace(
        "probably take", "probably takes"
    )


@pytest.mark.parametrize(("labels", "shown"), [(0.2, 1), (7.4, 7), (99.6, 100), (243.2, 240), (12_345.0, 12_000)])
def test_labels_are_shown_by_two_digits(labels: float, shown: int) -> None:
    assert rounded(labels) == shown
