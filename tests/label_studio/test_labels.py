from typing import Any

import pytest

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.label_studio.choices import Choices
from pt4al_backend.label_studio.label_config import ClassificationConfig
from pt4al_backend.label_studio.labels import Answer, image_of, prediction

CONFIG = ClassificationConfig("label", "image", "photo", ("cat", "dog", "cow"))
CHOICES = Choices(CONFIG)


def annotation(*choices: str, minute: int = 0, origin: str | None = "manual", **fields: Any) -> dict[str, Any]:
    region = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": list(choices)}, "origin": origin}
    result = [region] if choices else []
    stamp = f"2026-11-21T09:{minute:02d}:00.000001Z"
    return {"id": minute, "result": result, "was_cancelled": False, "parent_prediction": None, "updated_at": stamp, **fields}


def test_no_annotation_is_no_answer() -> None:
    assert CHOICES.answer_of([]) == Answer("none")


def test_one_choice_is_the_label() -> None:
    assert CHOICES.answer_of([annotation("dog")]) == Answer("label", "dog")


def test_skips_alone_are_a_skip_and_beside_a_label_nothing() -> None:
    skip = annotation(was_cancelled=True)
    assert CHOICES.answer_of([skip, skip]) == Answer("skip")
    assert CHOICES.answer_of([annotation("dog"), skip, skip]) == Answer("label", "dog")


def test_a_choice_that_was_made_before_skipping_does_not_count() -> None:
    assert CHOICES.answer_of([annotation("dog", was_cancelled=True)]) == Answer("skip")


def test_the_majority_wins_over_the_newest() -> None:
    assert (
        CHOICES.answer_of([annotation("dog", minute=1), annotation("dog", minute=2), annotation("cat", minute=3)]).label == "dog"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_wins_a_tie_whatever_the_order_of_the_list(order: int) -> None:
    annotations = [annotation("dog", minute=5), annotation("cat", minute=7), annotation("cow", minute=6)][::order]
    assert CHOICES.answer_of(annotations).label == "cat"


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (annotation(), "without a choice"),
        (annotation("horse"), "'horse', which is no choice"),
        (annotation("cat", "dog"), "several choices"),
        (annotation(result=None), "without a choice"),
        (annotation(result=[{"from_name": "other", "value": {"choices": ["cat"]}}]), "without a choice"),
        (annotation(result=["nonsense", {"from_name": "label", "value": []}]), "without a choice"),
        (annotation(result=[{"from_name": "label", "value": {"choices": [["cat"]]}}]), "no choice of the labeling config"),
    ],
)
def test_an_annotation_without_a_valid_choice_counts_as_answered_and_says_why(one: dict[str, Any], problem: str) -> None:
    alone = CHOICES.answer_of([one])
    assert alone.kind == "skip"
    assert problem in str(alone.problem)
    beside = CHOICES.answer_of([one, annotation("cow")])
    assert (beside.kind, beside.label) == ("label", "cow")
    assert problem in str(beside.problem)
    assert "1 of 2 annotations is left out, the others count" in str(beside.problem)


@pytest.mark.parametrize(
    ("annotations", "accepted"),
    [
        ([annotation("dog", origin="prediction", parent_prediction=7)], True),
        ([annotation("dog", origin="prediction")], True),  # the prediction was deleted since
        ([annotation("dog", origin=None, parent_prediction=7)], True),  # made in bulk from predictions
        ([annotation("dog", origin="prediction-changed", parent_prediction=7)], False),
        ([annotation("dog", origin="manual", parent_prediction=7)], False),
        ([annotation("dog", origin=None)], False),
        ([annotation("dog", origin="prediction"), annotation("dog")], False),  # someone chose it alone
        ([annotation("dog", minute=1), annotation("cat", origin="prediction", minute=2)], True),
    ],
)
def test_labels_that_only_repeat_a_prediction_are_marked(annotations: list[dict[str, Any]], accepted: bool) -> None:
    assert CHOICES.answer_of(annotations).accepted is accepted


def test_a_prediction_reads_back_as_the_answer_that_it_shows() -> None:
    made = prediction(12, CHOICES.regions("cow", 0.4, None), 0.25, "v1")
    assert (made["task"], made["score"], made["model_version"]) == (12, 0.25, "v1")
    assert made["result"][0]["score"] == 0.4
    assert CHOICES.answer_of([{"result": made["result"]}]).label == "cow"


def test_a_prediction_without_a_label_shows_nothing() -> None:
    assert prediction(12, [], 0.0, "v1")["result"] == []


@pytest.mark.parametrize("said", ["", "horse"])
def test_nothing_is_shown_of_what_is_no_choice_any_more(said: str) -> None:
    assert CHOICES.regions(said, 0.4, (40, 30)) == []


@pytest.mark.parametrize("score", [-0.001, 1.0000001, float("nan"), float("inf")])
def test_scores_that_label_studio_would_drop_silently_are_refused_loudly(score: float) -> None:
    with pytest.raises(ValueError, match="task 12"):
        prediction(12, [], score, "v1")


def test_the_image_is_the_field_that_the_config_names() -> None:
    assert image_of({"photo": " /data/upload/1/a.png ", "image": "other"}, CONFIG) == "/data/upload/1/a.png"
    assert image_of({"$undefined$": "/data/upload/1/a.png"}, CONFIG) == "/data/upload/1/a.png"


@pytest.mark.parametrize(
    "data", [{}, {"image": "a.png"}, {"photo": ""}, {"photo": "  "}, {"photo": None}, {"photo": ["a.png"]}, {"photo": 3}]
)
def test_a_task_without_an_image_says_which_field_is_meant(data: dict[str, Any]) -> None:
    with pytest.raises(ImageUnreadable, match="'photo'"):
        image_of(data, CONFIG)
