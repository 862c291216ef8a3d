"""Initial weights: where they come from, what is done when they cannot, and that it is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

from pt4al_backend import artefacts, pretext, pretrained, weights
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.networks import IMAGENET, Body, Form
from pt4al_backend.tasks.classification import Classification
from pt4al_backend.weights import Sources

FORM = Form("small", 8)
CLASSES = ("a", "b")


def network(form: Form = FORM) -> dict[str, Any]:
    return {"name": form.name, "stem": form.stem, "width": form.width}


@pytest.fixture
def learner(tmp_path: Path) -> Path:
    target = tmp_path / "learner"
    with artefacts.writing(target, pretext="rotation", network=network()) as folder:
        weights.save(pretext.load("rotation")(Body(FORM)), folder)
    return target


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    target = tmp_path / "previous"
    with artefacts.writing(target, task="classification", network=network(), classes=CLASSES, shape=(16, 16)) as folder:
        weights.save(Classification(Body(FORM), CLASSES, 16), folder)
    return target


@pytest.fixture
def sources() -> Sources:
    return Sources("auto", False, None, None, "off", note=lambda text: None)


@pytest.fixture
def imagenet(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """ImageNet's weights, at hand."""
    state = resnet18(weights=None).state_dict()
    monkeypatch.setattr(pretrained, "imagenet", lambda mode, note: state)
    return state


def task(classes: tuple[str, ...] = CLASSES, form: Form = FORM) -> Classification:
    return Classification(Body(form), classes, 16)


def same(ours: torch.nn.Module, theirs: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))


@pytest.mark.parametrize("init", ["auto", "pretext"])
def test_the_pretext_learners_body_is_where_training_starts(sources: Sources, learner: Path, init: str) -> None:
    ours = task()
    assert replace(sources, init=init, learner=learner).give_task(ours) == "pretext"
    assert same(ours.body, weights.load_learner(learner).body)


def test_fresh_takes_nothing(sources: Sources, learner: Path) -> None:
    ours = task()
    before = ours.body.conv1.weight.clone()
    assert replace(sources, init="fresh", learner=learner).give_task(ours) == "fresh"
    assert torch.equal(ours.body.conv1.weight, before)


def test_warm_start_takes_the_previous_model_whole(sources: Sources, learner: Path, previous: Path) -> None:
    ours = task()
    assert replace(sources, warm_start=True, learner=learner, previous=previous).give_task(ours) == "previous"
    assert same(ours.model, weights.load_model(previous)[0].model)


def test_with_other_classes_the_last_layer_starts_afresh(sources: Sources, previous: Path) -> None:
    notes: list[str] = []
    ours = task(("a", "b", "c"))
    assert replace(sources, warm_start=True, previous=previous, note=notes.append).give_task(ours) == "previous"
    assert same(ours.body, weights.load_model(previous)[0].body)
    assert ours.model.head.out_features == 3
    assert "classes have changed" in notes[0]


def test_without_warm_start_the_previous_model_is_left_alone(sources: Sources, learner: Path, previous: Path) -> None:
    assert replace(sources, learner=learner, previous=previous).give_task(task()) == "pretext"


def test_what_does_not_fit_or_is_damaged_is_passed_over_with_a_note(sources: Sources, learner: Path, previous: Path) -> None:
    notes: list[str] = []
    (previous / weights.WEIGHTS).write_bytes(b"")
    asked = replace(sources, warm_start=True, learner=learner, previous=previous, note=notes.append)
    assert asked.give_task(task(form=Form("small", 16))) == "fresh"
    assert "missing or altered" in notes[0]
    assert "another form" in notes[1]
    assert "fresh weights" in notes[2]


def test_imagenet_weights_that_are_not_to_be_had_give_way_to_the_learners(sources: Sources, learner: Path) -> None:
    notes: list[str] = []
    assert replace(sources, init="imagenet", learner=learner, note=notes.append).give_task(task()) == "pretext"
    assert "ImageNet weights fit" in notes[0]
    notes.clear()
    assert replace(sources, init="imagenet", note=notes.append).give_task(task(form=IMAGENET)) == "fresh"
    assert "PT4AL_PRETRAINED=off" in notes[0]


def test_with_imagenet_weights_at_hand_the_pretext_learner_starts_from_them(
    sources: Sources, imagenet: dict[str, Tensor]
) -> None:
    body = Body(IMAGENET)
    assert sources.give_learner(body) == "imagenet"
    assert torch.equal(body.conv1.weight, imagenet["conv1.weight"])
    assert replace(sources, init="imagenet").give_task(task(form=IMAGENET)) == "imagenet"
    assert replace(sources, init="fresh").give_learner(Body(IMAGENET)) == "fresh"
    assert sources.give_learner(Body(FORM)) == "fresh"


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_weights_that_cannot_be_read_are_an_error_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "damaged"
    with artefacts.writing(target, pretext="rotation", network=network()) as folder:
        (folder / weights.WEIGHTS).write_bytes(content)
    with pytest.raises(StoreCorrupt, match="Delete"):
        weights.load_learner(target)


def test_a_learner_is_not_taken_for_a_model(learner: Path) -> None:
    with pytest.raises(StoreCorrupt):
        weights.load_model(learner)
