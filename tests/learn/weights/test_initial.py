"""Initial weights: where they come from, and what is used, with a note, where they cannot be had."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS, PRETEXTS
from pt4al_backend.learn import saved
from pt4al_backend.learn.networks import IMAGENET, EncoderForm, Form, ResNetForm, build
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.weights import imagenet as imagenet_files
from pt4al_backend.learn.weights.initial import InitialWeights

FORM = ResNetForm("small", 8)
OTHER = ResNetForm("small", 16)
ENCODER = EncoderForm("mobilenet_v2", "deeplabv3plus")
SHAPE = (32, 32)
CLASSES = ("a", "b")


@pytest.fixture(params=[FORM, ENCODER], ids=["classification", "segmentation"])
def form(request: pytest.FixtureRequest) -> Form:
    """The form of the networks on disk: both main tasks take their weights alike."""
    chosen: Form = request.param
    return chosen


@pytest.fixture
def learner(tmp_path: Path, form: Form) -> Path:
    target = tmp_path / "learner"
    with artefacts.writing(target, pretext="rotation", network=asdict(form)) as folder:
        saved.save(PRETEXTS.load("rotation", Pretext)(build(form)), folder)
    return target


@pytest.fixture
def previous(tmp_path: Path, form: Form) -> Path:
    target, made = tmp_path / "previous", task(form)
    more = {
        "classes": CLASSES,
        "shape": SHAPE,
        "stored": SHAPE,
        "device": "cpu",
        "settings": ProjectSettings().model_dump(mode="json"),
    }
    with artefacts.writing(target, task=made.name, network=asdict(form), **more) as folder:
        saved.save(made, folder)
    return target


def test_model_of_schema_1_loads_although_settings_came_and_went(previous: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_BACKGROUND", "of-the-reader")
    expected = saved.load_model(previous).task
    manifest = json.loads((previous / artefacts.MANIFEST).read_text())
    manifest["schema"] = 1
    manifest["settings"]["a_setting_that_went"] = 3
    del manifest["settings"]["background"]  # came later
    (previous / artefacts.MANIFEST).write_text(json.dumps(manifest))
    found = saved.load_model(previous).task
    assert same(found.model, expected.model)
    assert found.classes == CLASSES


@pytest.fixture
def sources() -> InitialWeights:
    return InitialWeights("auto", False, None, None, "off", None, note=lambda text: None)


@pytest.fixture
def imagenet(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """ImageNet's weights, as if they were cached."""
    state = resnet18(weights=None).state_dict()
    monkeypatch.setattr(imagenet_files, "load", lambda network, mode, note: state)
    return state


def task(form: Form, classes: tuple[str, ...] = CLASSES) -> MainTask:
    name = "classification" if isinstance(form, ResNetForm) else "segmentation"
    return MAIN_TASKS.load(name, MainTask)(build(form), classes, SHAPE, ProjectSettings())


def first(body: torch.nn.Module) -> Tensor:
    """The weights of the first layer."""
    return next(body.parameters()).detach()


def same(ours: torch.nn.Module, theirs: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))


@pytest.mark.parametrize("init", ["auto", "pretext"])
def test_training_starts_from_the_pretext_learners_body(sources: InitialWeights, learner: Path, form: Form, init: str) -> None:
    ours = task(form)
    assert replace(sources, init=init, learner=learner).init_task(ours) == "pretext"
    assert same(ours.body, saved.load_learner(learner).body)


def test_init_fresh_leaves_the_weights_alone(sources: InitialWeights, learner: Path, form: Form) -> None:
    ours = task(form)
    before = first(ours.body).clone()
    assert replace(sources, init="fresh", learner=learner).init_task(ours) == "fresh"
    assert torch.equal(first(ours.body), before)


def test_warm_start_uses_the_whole_previous_model(sources: InitialWeights, learner: Path, previous: Path, form: Form) -> None:
    ours = task(form)
    assert replace(sources, warm_start=True, learner=learner, previous=previous).init_task(ours) == "previous"
    assert same(ours.model, saved.load_model(previous).task.model)


def test_warm_start_with_other_classes_gets_a_fresh_last_layer(sources: InitialWeights, previous: Path, form: Form) -> None:
    notes: list[str] = []
    ours = task(form, ("a", "b", "c"))
    assert replace(sources, warm_start=True, previous=previous, note=notes.append).init_task(ours) == "previous"
    assert same(ours.body, saved.load_model(previous).task.body)
    assert len(ours.model.head.bias) == 3
    assert "classes have changed" in notes[0]


def test_previous_model_is_not_used_without_warm_start(
    sources: InitialWeights, learner: Path, previous: Path, form: Form
) -> None:
    assert replace(sources, learner=learner, previous=previous).init_task(task(form)) == "pretext"


def test_weights_that_do_not_fit_or_are_damaged_are_skipped_with_a_note(
    sources: InitialWeights, learner: Path, previous: Path
) -> None:
    notes: list[str] = []
    (previous / saved.WEIGHTS).write_bytes(b"")
    chosen = replace(sources, warm_start=True, learner=learner, previous=previous, note=notes.append)
    assert chosen.init_task(task(OTHER)) == "fresh"
    assert "missing or altered" in notes[0]
    assert "another form" in notes[1]
    assert "fresh weights" in notes[2]


def test_missing_imagenet_weights_give_way_to_the_pretext_learners(sources: InitialWeights, learner: Path, form: Form) -> None:
    notes: list[str] = []
    assert replace(sources, init="imagenet", learner=learner, note=notes.append).init_task(task(form)) == "pretext"
    assert ("ImageNet weights fit" if form == FORM else "PT4AL_PRETRAINED=off") in notes[0]
    notes.clear()
    assert replace(sources, init="imagenet", note=notes.append).init_task(task(IMAGENET)) == "fresh"
    assert "PT4AL_PRETRAINED=off" in notes[0]


def test_pretext_learner_starts_from_imagenet_weights_where_they_fit(
    sources: InitialWeights, imagenet: dict[str, Tensor]
) -> None:
    for form in (IMAGENET, EncoderForm("resnet18", "deeplabv3plus")):
        body = build(form)
        assert sources.init_learner(body) == "imagenet"
        assert torch.equal(first(body), imagenet["conv1.weight"])
        assert replace(sources, init="imagenet").init_task(task(form)) == "imagenet"
        assert replace(sources, init="fresh").init_learner(build(form)) == "fresh"
    assert sources.init_learner(build(FORM)) == "fresh"
