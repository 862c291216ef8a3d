"""Saved networks: pretext learners and main tasks' models, written into an artefact and loaded from it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator

from pt4al_backend import artefacts
from pt4al_backend.artefacts import HEAD, WEIGHTS
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS, PRETEXTS
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn import networks
from pt4al_backend.learn.checkpoint import archive
from pt4al_backend.learn.frozen.heads import LinearHead
from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.tasks.base import MainTask


def save(objective: Trainable, folder: Path) -> None:
    """Writes the model's weights as a state dict on the CPU."""
    (folder / WEIGHTS).write_bytes(archive({name: value.cpu() for name, value in objective.model.state_dict().items()}))


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a damaged archive surfaces as any of a dozen types
        raise StoreCorrupt(
            f"The network in {folder.name} cannot be loaded ({type(error).__name__}: {error}).",
            f"Delete {folder}; it is made again by the next training.",
        ) from error


def _load(objective: Trainable, folder: Path) -> None:
    state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    if (folder / HEAD).exists():
        head = LinearHead.load(folder / HEAD)
        weights, bias = (torch.from_numpy(part / head.temperature) for part in (head.weights, head.bias))
        state |= {"head.weight": weights, "head.bias": bias}
    objective.model.load_state_dict(state)


@dataclass(frozen=True)
class SavedModel:
    """A main task with its trained model, and the facts beside it in the artefact.

    ``shape`` is the model's input and ``stored`` the frames' that it is cut out of; ``device`` is the type of the device that it
    was trained on.
    """

    task: MainTask
    shape: Shape
    stored: Shape
    device: str


class _LearnerFacts(BaseModel):
    """What of its manifest loading a pretext learner takes."""

    network: dict[str, Any]  # of the kinds of ``networks.form_of``, which knows those of earlier versions
    pretext: str


class _ModelFacts(BaseModel):
    """What of its manifest loading a main task's model takes."""

    network: dict[str, Any]
    task: str
    classes: tuple[str, ...]
    settings: Annotated[ProjectSettings, BeforeValidator(ProjectSettings.stored)]
    shape: Shape
    stored: Shape
    device: str


def _body(network: Mapping[str, Any]) -> Body:
    return networks.build(networks.form_of(network))


def load_learner(folder: Path) -> Pretext:
    """The pretext learner in an artefact of ``rank``.

    Raises:
        StoreCorrupt: the artefact is damaged, holds no learner, or is of a version with other pretext tasks.
    """
    manifest = artefacts.manifest(folder)
    with _loading(folder):
        facts = _LearnerFacts.model_validate(manifest)
        learner = PRETEXTS.load(facts.pretext, Pretext)(_body(facts.network))
        _load(learner, folder)
    return learner


def load_model(folder: Path) -> SavedModel:
    """The main task's model in an artefact of ``learn``.

    Raises:
        StoreCorrupt: the artefact is damaged, holds no model, or is of a version with other tasks.
    """
    manifest = artefacts.manifest(folder)
    with _loading(folder):
        facts = _ModelFacts.model_validate(manifest)
        task = MAIN_TASKS.load(facts.task, MainTask)(_body(facts.network), facts.classes, facts.shape, facts.settings)
        _load(task, folder)
        return SavedModel(task, facts.shape, facts.stored, facts.device)
