"""Labels of projects in which an image gets any number of choices."""

from typing import Any

import numpy as np
import pytest

from pt4al_backend.config import ProjectSettings
from pt4al_backend.label_sets import LabelSet
from pt4al_backend.label_studio.annotations import Answer
from pt4al_backend.label_studio.label_config import MultilabelConfig
from pt4al_backend.label_studio.multilabel import MultilabelReader

CONFIG = MultilabelConfig("label", "image", "photo", ("cat", "dog", 'a "b", [c]'))
READER = MultilabelReader(CONFIG)


def annotation(*choices: str, minute: int = 0, origin: str | None = "manual", **fields: Any) -> dict[str, Any]:
    region = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": list(choices)}, "origin": origin}
    stamp = f"2026-11-21T09:{minute:02d}:00.000001Z"
    return {"id": minute, "result": [region] if choices else [], "was_cancelled": False, "updated_at": stamp, **fields}


def label(*annotations: dict[str, Any]) -> str | None:
    return READER.answer_of(annotations).label


def test_the_label_is_the_set_in_the_configs_order() -> None:
    assert label(annotation("dog", "cat")) == label(annotation("cat", "dog")) == '["cat", "dog"]'
    assert label(annotation('a "b", [c]')) == '["a \\"b\\", [c]"]'


def test_submitted_without_a_choice_means_none_of_the_classes_and_skipped_means_nothing() -> None:
    assert READER.answer_of([annotation()]) == Answer("label", "[]")
    assert READER.answer_of([annotation(was_cancelled=True)]) == Answer("skip")
    assert label(annotation(), annotation("dog", was_cancelled=True, minute=1)) == "[]"


@pytest.mark.parametrize(
    ("given", "agreed"),
    [
        ([("cat", "dog"), ("cat",), ("cat",)], '["cat"]'),
        ([("cat", "dog"), ("dog",), ("cat",)], '["cat", "dog"]'),  # class by class
        ([("cat",), ("dog",)], '["dog"]'),  # a tie in both: the newest
        ([("cat",), ()], "[]"),
        ([(), ("cat",)], '["cat"]'),
        ([("cat",), (), ()], "[]"),
    ],
)
def test_the_majority_decides_on_each_class_and_the_newest_on_a_tie(given: list[tuple[str, ...]], agreed: str) -> None:
    annotations = [annotation(*choices, minute=minute) for minute, choices in enumerate(given)]
    assert label(*annotations) == label(*annotations[::-1]) == agreed


def test_the_ground_truth_decides_alone() -> None:
    assert label(annotation("cat", ground_truth=True), annotation("dog", minute=1), annotation("dog", minute=2)) == '["cat"]'
    assert label(annotation(ground_truth=True), annotation("dog", minute=1)) == "[]"


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (annotation("horse"), "'horse', which is no choice"),
        (annotation("cat", "horse"), "'horse', which is no choice"),
        (annotation(result=[{"from_name": "label", "value": {"choices": [["cat"]]}}]), "no choice of the labeling config"),
    ],
)
def test_an_annotation_with_a_class_that_is_gone_does_not_count_and_says_why(one: dict[str, Any], problem: str) -> None:
    alone = READER.answer_of([one])
    assert (alone.kind, alone.label) == ("skip", None)
    assert problem in str(alone.problem)
    assert "alias" in str(alone.problem)


@pytest.mark.parametrize(
    "damaged",
    [
        annotation(result=None),
        annotation(result={"choices": ["cat"]}),
        annotation(result=[{"from_name": "label", "value": {"choices": "cat"}}]),
        annotation(result=[{"from_name": "label", "value": None}]),
        annotation(result=[*annotation("cat")["result"], {"from_name": "label", "value": {}}]),
    ],
)
def test_a_damaged_annotation_says_nothing_of_the_classes(damaged: dict[str, Any]) -> None:
    alone = READER.answer_of([damaged])
    assert (alone.kind, alone.label) == ("skip", None)
    assert "no list of" in str(alone.problem)
    assert "Submit it again" in str(alone.problem)
    assert label(damaged, annotation("dog", minute=1)) == '["dog"]'


@pytest.mark.parametrize(
    ("annotations", "accepted"),
    [
        ([annotation("cat", "dog", origin="prediction")], True),
        ([annotation("cat", origin="prediction-changed")], False),
        ([annotation("cat")], False),
        ([annotation("cat", origin="prediction"), annotation("cat", minute=1)], False),
        ([annotation("dog", minute=0), annotation("cat", origin="prediction", minute=1)], True),
        ([annotation(parent_prediction=7)], False),  # nothing was predicted
    ],
)
def test_labels_that_only_repeat_a_prediction_are_marked(annotations: list[dict[str, Any]], accepted: bool) -> None:
    assert READER.answer_of(annotations).accepted is accepted


def test_an_answer_of_none_is_a_region_that_is_read_back_as_accepted() -> None:
    (region,) = READER.regions("[]", 0.75, None)
    submitted = {**annotation(), "result": [{**region, "origin": "prediction"}]}
    answer = READER.answer_of([submitted])
    assert (answer.kind, answer.label, answer.accepted) == ("label", "[]", True)


def test_the_editor_is_shown_all_choices_of_an_answer_as_one_region() -> None:
    (region,) = READER.regions('["cat", "dog"]', 0.75, None)
    assert region == {
        "from_name": "label",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": ["cat", "dog"]},
        "score": 0.75,
    }
    assert READER.regions(LabelSet(("cat", "dog"), np.zeros(3, np.float32)), 0.75, None) == [region]


@pytest.mark.parametrize("answer", ['["horse"]', '["cat", "horse"]', "cat", ""])
def test_no_answer_and_one_with_a_class_that_is_gone_show_nothing(answer: str) -> None:
    assert READER.regions(answer, 0.5, None) == []


def test_labels_are_counted_class_by_class() -> None:
    assert READER.count(['["cat", "dog"]', '["cat"]', "[]", '["cat"]'], CONFIG.labels) == {"cat": 3, "dog": 1}


def test_training_waits_for_two_labels_that_differ() -> None:
    options = ProjectSettings()
    assert READER.missing_for_training(["[]", "[]"], options, (1, 1))
    assert READER.missing_for_training(['["cat"]', '["cat"]'], options, (1, 1))
    assert not READER.missing_for_training(['["cat"]', "[]"], options, (1, 1))


@pytest.mark.parametrize(
    ("text", "usable"), [("[]", True), ('["dog"]', True), ('["horse"]', False), ("dog", False), ("{", False)]
)
def test_only_sets_of_the_choices_are_usable(text: str, usable: bool) -> None:
    assert (READER.unusable_reason(text, None) == "") is usable
