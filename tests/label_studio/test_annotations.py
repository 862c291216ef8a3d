import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.mask_files import Mask, MaskFiles
from pt4al_backend.label_studio.annotations import Answer, LabelReader, image_of, prediction
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import ClassificationConfig, SegmentationConfig
from pt4al_backend.label_studio.outlines import regions_of
from pt4al_backend.label_studio.segmentation import SegmentationReader

CONFIG = ClassificationConfig("label", "image", "photo", ("cat", "dog", "cow"))
CHOICES = ClassificationReader(CONFIG)


def annotation(*choices: str, minute: int = 0, origin: str | None = "manual", **fields: Any) -> dict[str, Any]:
    region = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": list(choices)}, "origin": origin}
    result = [region] if choices else []
    stamp = f"2026-11-21T09:{minute:02d}:00.000001Z"
    return {"id": minute, "result": result, "was_cancelled": False, "parent_prediction": None, "updated_at": stamp, **fields}


def test_no_annotation_is_no_answer() -> None:
    assert CHOICES.answer_of([]) == Answer("none")


def test_one_choice_is_the_label() -> None:
    assert CHOICES.answer_of([annotation("dog")]) == Answer("label", "dog")


def test_skips_count_only_where_there_is_no_label() -> None:
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
        (annotation(result=None), "no list of regions"),
        (annotation(result=[{"from_name": "other", "value": {"choices": ["cat"]}}]), "without a choice"),
        (annotation(result=["nonsense", {"from_name": "label", "value": []}]), "no list of choices"),
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


DRAWN = SegmentationConfig("label", "image", "photo", ("cat", "dog"), "brush")
GOOD: dict[str, dict[str, Any]] = {
    "choices": annotation("cow"),
    "drawings": {
        **annotation(),
        "result": [
            region
            for shape in ("brush", "polygon", "bitmask")
            for tool in ("", "tool")
            for region in regions_of(Mask(np.array([[0, 0], [1, 0]], np.uint8)), replace(DRAWN, shape=shape, tool=tool))
        ],
    },
}


@pytest.fixture(scope="module", params=list(GOOD))
def labelling(request: pytest.FixtureRequest) -> LabelReader:
    folder = MaskFiles(Path(tempfile.mkdtemp(dir=request.getfixturevalue("tmp_path_factory").getbasetemp())))
    return CHOICES if request.param == "choices" else SegmentationReader(DRAWN, folder, lambda: folder, 10_000)


def good(labelling: LabelReader) -> dict[str, Any]:
    return GOOD["choices" if labelling is CHOICES else "drawings"]


@pytest.mark.parametrize("origin", [["x"], {"a": 1}, 3, [], {}])
def test_a_mark_that_label_studio_does_not_make_is_no_accepted_prediction(labelling: LabelReader, origin: Any) -> None:
    regions = [{**region, "origin": origin} for region in good(labelling)["result"]]
    answer = labelling.answer_of([{**good(labelling), "result": regions, "parent_prediction": 7}])
    assert (answer.kind, answer.accepted) == ("label", False)


any_text = st.text(st.characters(exclude_categories=()), max_size=80)  # lone surrogates and NUL, which no state can keep
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3), max_leaves=6
)
names = st.sampled_from(["cat", "dog", "cow", "label", "brush", "polygon", "bitmask", "labels", "brushlabels", "choices"])
sides = st.sampled_from([1, 2, 2.0, 50_000_000])
points = st.lists(st.lists(st.floats(-1e9, 1e9) | any_json, min_size=2, max_size=2), max_size=4)
outlined = {
    "rle": st.lists(st.integers(-1, 300), max_size=20) | any_json,
    "points": points | any_json,
    "imageDataURL": any_text.map("data:image/png;base64,".__add__) | any_json,
}
lists = {key: st.lists(names | any_json, max_size=2) | any_json for key in ("choices", "labels", "brushlabels", "polygonlabels")}
fields: dict[str, st.SearchStrategy[Any]] = {
    "id": names | any_json,
    "from_name": st.just("label") | any_json,
    "type": names | any_json,
    "origin": st.sampled_from(["prediction", "manual", None]) | any_json,
    "original_width": sides | any_json,
    "original_height": sides | any_json,
    "image_rotation": st.just(0) | any_json,
    "value": st.fixed_dictionaries({}, optional={**outlined, **lists}) | any_json,
}
regions = st.fixed_dictionaries({}, optional=fields) | any_json
bodies = st.fixed_dictionaries(
    {"result": st.lists(regions, max_size=3) | any_json},
    optional={"id": any_json, "updated_at": any_json, "was_cancelled": any_json, "parent_prediction": any_json},
)


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all that an annotation holds; of numbers in a row the first is enough."""
    for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        if key == 0 or not isinstance(part[key], int):
            yield (*path, key)
            yield from places(part[key], (*path, key))


def exchanged(part: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = part.copy()
    copy[path[0]] = exchanged(part[path[0]], path[1:], new)
    return copy


@given(data=st.data())
def test_malformed_region_costs_its_annotation_only(labelling: LabelReader, data: st.DataObject) -> None:
    body = good(labelling)
    path = data.draw(st.sampled_from(list(places(body))))
    check(labelling, exchanged(body, path, data.draw(any_json)), body)


@given(body=bodies, shown=bodies)
def test_malformed_annotation_costs_no_other_annotation(
    labelling: LabelReader, body: dict[str, Any], shown: dict[str, Any]
) -> None:
    check(labelling, body, shown)


def check(labelling: LabelReader, body: dict[str, Any], shown: dict[str, Any]) -> None:
    alone, beside = (labelling.answer_of(each, lambda _: shown) for each in ([body], [body, good(labelling)]))
    assert beside.kind == "label"
    if alone.kind != "label" and not body.get("was_cancelled"):
        assert alone.problem
        assert beside.problem
    for problem in filter(None, (alone.problem, beside.problem)):
        assert len(problem) < 1000
        assert "\0" not in problem
        problem.encode()


@pytest.mark.parametrize("choice", ["x" * 100_000, json.loads("[" * 500 + "]" * 500)], ids=["long", "deep"])
def test_unreadable_annotation_is_reported_briefly(choice: Any) -> None:
    for chosen in ([choice], [choice, choice], [choice] * 100):
        assert len(str(CHOICES.answer_of([annotation(*chosen)]).problem)) < 1000


def test_a_prediction_reads_back_as_the_answer_that_it_shows() -> None:
    made = prediction(12, CHOICES.regions("cow", 0.4, None), 0.25, "v1")
    assert (made["task"], made["score"], made["model_version"]) == (12, 0.25, "v1")
    assert made["result"][0]["score"] == 0.4
    assert CHOICES.answer_of([{"result": made["result"]}]).label == "cow"


def test_a_prediction_without_a_label_shows_nothing() -> None:
    assert prediction(12, [], 0.0, "v1")["result"] == []


@pytest.mark.parametrize("label", ["", "horse"])
def test_prediction_of_a_removed_choice_shows_nothing(label: str) -> None:
    assert CHOICES.regions(label, 0.4, (40, 30)) == []


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


def test_ground_truth_decides_against_a_newer_one_and_a_majority() -> None:
    star = annotation("dog", minute=1, ground_truth=True)
    others = [annotation("cat", minute=2), annotation("cat", minute=3)]
    assert CHOICES.answer_of([star, *others]).label == "dog"
    assert CHOICES.answer_of([star, others[0]]).label == "dog"


def test_several_ground_truths_are_counted_among_themselves() -> None:
    stars = [annotation(label, minute=minute, ground_truth=True) for minute, label in enumerate(("dog", "cat", "dog", "cow"))]
    assert CHOICES.answer_of([*stars, *[annotation("cow", minute=9)] * 3]).label == "dog"
    assert CHOICES.answer_of(stars[:2]).label == "cat"  # of a tie the newest


@pytest.mark.parametrize(
    "star", [annotation("horse", ground_truth=True), annotation("dog", ground_truth=True, was_cancelled=True)]
)
def test_ground_truth_that_says_nothing_leaves_the_others_their_label(star: dict[str, Any]) -> None:
    assert CHOICES.answer_of([star, annotation("cat", minute=2)]).label == "cat"


def test_accepted_ground_truth_is_marked_whatever_others_did() -> None:
    star = annotation("dog", origin="prediction", ground_truth=True)
    assert CHOICES.answer_of([star, annotation("dog")]).accepted
    assert not CHOICES.answer_of([annotation("dog", ground_truth=True), annotation("dog", origin="prediction")]).accepted


def test_choice_that_is_gone_is_reported_with_the_alias_that_brings_it_back() -> None:
    assert "alias" in str(CHOICES.answer_of([annotation("horse")]).problem)


def test_choices_of_other_controls_do_not_count() -> None:
    region = {"from_name": "quality", "to_name": "image", "type": "choices", "value": {"choices": ["good"]}}
    both = annotation("dog")
    both["result"] = [region, *both["result"]]
    assert CHOICES.answer_of([both]).label == "dog"
