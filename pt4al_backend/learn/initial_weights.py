"""Weights: saved, loaded, and where a training's initial ones come from.

By default (``init = auto``) they are the pretext learner's, which saved more labels than any strategy: to be as good as random
picks from fresh weights with 2,000 labels of 20,000 images, random picks from the learner's needed 900 (858 to 952, five
seeds); with 400 labels of 5,000 images 285 (235 to 336, five seeds). SimSiam's after as many epochs needed 380 of 400 (278 to
more than 400, five seeds). Labels, 95 % intervals; small CIFAR-10 images, a narrow ResNet-18, rotation (docs/results.md).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS, PRETEXTS
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.learn import networks
from pt4al_backend.learn.loop import Trainable, archive
from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.networks import imagenet as pretrained
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.tasks.base import MainTask

WEIGHTS = "weights.pt"

#: Which sources each value of the setting ``init`` tries, in order, before fresh weights.
ORDER: dict[str, tuple[str, ...]] = {
    "auto": ("pretext",),
    "pretext": ("pretext",),
    "imagenet": ("imagenet", "pretext"),
    "fresh": (),
}

Note = Callable[[str], None]


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
    objective.model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))


def _body(manifest: dict[str, Any]) -> Body:
    return networks.build(networks.form_of(manifest["network"]))


def load_learner(folder: Path) -> Pretext:
    """The pretext learner in an artefact of ``rank``.

    Raises:
        StoreCorrupt: the artefact is damaged, holds no learner, or is of a version with other pretext tasks.
    """
    manifest = artefacts.manifest(folder)
    with _loading(folder):
        learner = PRETEXTS.load(manifest["pretext"], Pretext)(_body(manifest))
        _load(learner, folder)
    return learner


def load_model(folder: Path) -> tuple[MainTask, dict[str, Any]]:
    """The main task's model in an artefact of ``learn``, and its manifest.

    Raises:
        StoreCorrupt: the artefact is damaged, holds no model, or is of a version with other tasks.
    """
    manifest = artefacts.manifest(folder)
    with _loading(folder):
        settings = ProjectSettings(**manifest["settings"])
        task = MAIN_TASKS.load(manifest["task"], MainTask)(
            _body(manifest), tuple(manifest["classes"]), tuple(manifest["shape"]), settings
        )
        _load(task, folder)
    return task, manifest


@dataclass(frozen=True)
class InitialWeights:
    """Where initial weights may come from.

    Args:
        init: the setting of that name.
        warm_start: whether the previous model comes first.
        learner: artefact of the pretext learner, if there is one.
        previous: artefact of the previous round's model, if there is one.
        pretrained: the server's setting of that name.
        note: told why a source that was asked for is not used.
    """

    init: str
    warm_start: bool
    learner: Path | None
    previous: Path | None
    pretrained: str
    note: Note

    def give_learner(self, body: Body) -> str:
        """Initial weights of the pretext learner; returns their source, ``imagenet`` (where they fit) or ``fresh``."""
        wanted = self.init == "imagenet" or (self.init == "auto" and body.form.imagenet is not None)
        return "imagenet" if wanted and self._from_imagenet(body) else "fresh"

    def give_task(self, task: MainTask) -> str:
        """Initial weights of the main task; returns their source: ``previous``, ``pretext``, ``imagenet`` or ``fresh``."""
        give: dict[str, Callable[[], bool]] = {
            "previous": lambda: self._from_previous(task),
            "pretext": lambda: self._from_learner(task.body),
            "imagenet": lambda: self._from_imagenet(task.body),
        }
        first: tuple[str, ...] = ("previous",) if self.warm_start else ()
        for source in first + ORDER[self.init]:
            if give[source]():
                return source
        if self.init != "fresh":
            self.note(f"Training starts from fresh weights: there are none for init={self.init}.")
        return "fresh"

    def _from_imagenet(self, body: Body) -> bool:
        if body.form.imagenet is None:
            self.note("ImageNet weights fit images above 64 pixels at width 64 only.")
            return False
        weights = pretrained.imagenet(body.form.imagenet, self.pretrained, self.note)
        if weights is None:
            return False
        body.load_imagenet(weights)
        return True

    def _from_previous(self, task: MainTask) -> bool:
        if self.previous is None:
            return False
        try:
            previous, _ = load_model(self.previous)
        except StoreCorrupt as error:
            self.note(str(error))
            return False
        if previous.body.form != task.body.form or previous.name != task.name:
            self.note("The previous model has another form; its weights cannot be taken over.")
            return False
        if previous.classes == task.classes:
            task.model.load_state_dict(previous.model.state_dict())
        else:
            self.note("The classes have changed since the previous model: its last layer starts afresh.")
            task.body.load_state_dict(previous.body.state_dict())
        return True

    def _from_learner(self, body: Body) -> bool:
        if self.learner is None:
            return False
        try:
            learner = load_learner(self.learner)
        except StoreCorrupt as error:
            self.note(str(error))
            return False
        if learner.body.form != body.form:
            self.note("The pretext learner has another form; its weights are taken over again once it has been retrained.")
            return False
        body.load_state_dict(learner.body.state_dict())
        return True
