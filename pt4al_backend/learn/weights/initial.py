"""Which source a training's initial weights come from.

By default (``init = auto``) the main task starts from the pretext learner's weights, which saved more labels than any strategy
(docs/results/initial-weights.md). An encoder of timm's that is trained starts from its own, and so does its pretext learner.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.learn.networks import Body, TimmEncoder
from pt4al_backend.learn.saved import load_learner, load_model
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.weights import imagenet, pretrained
from pt4al_backend.learn.weights.encoder_weights import EncoderWeights

Init = Literal["auto", "pretext", "imagenet", "fresh"]


class Source(StrEnum):
    """Where weights came from."""

    PREVIOUS = "previous"  #: the previous round's model
    PRETEXT = "pretext"
    IMAGENET = "imagenet"
    PRETRAINED = "pretrained"  #: of an encoder of timm's
    FRESH = "fresh"


#: Which sources each value of the setting ``init`` tries, in order, before fresh weights.
ORDER: dict[Init, tuple[Source, ...]] = {
    "auto": (Source.PRETEXT,),
    "pretext": (Source.PRETEXT,),
    "imagenet": (Source.IMAGENET, Source.PRETEXT),
    "fresh": (),
}

#: The same for encoders of timm's.
PRETRAINED_ORDER: dict[Init, tuple[Source, ...]] = {
    "auto": (Source.PRETRAINED,),
    "pretext": (Source.PRETEXT, Source.PRETRAINED),
    "imagenet": (Source.PRETRAINED,),
    "fresh": (),
}

Note = Callable[[str], None]


@dataclass
class InitialWeights:
    """Where initial weights may come from.

    Args:
        init: the setting of that name.
        warm_start: whether the previous model comes first.
        learner: artefact of the pretext learner, if there is one.
        previous: artefact of the previous round's model, if there is one.
        pretrained: the server's setting of that name.
        folder: with weights of pretrained encoders.
        note: gets a sentence for the user where a source that was wanted is not used.

    Attributes:
        file: the weights that a pretrained encoder was given, once it was.
    """

    init: Init
    warm_start: bool
    learner: Path | None
    previous: Path | None
    pretrained: str
    folder: Path | None
    note: Note
    file: EncoderWeights | None = field(default=None, init=False)

    def init_learner(self, body: Body) -> Source:
        """Gives the pretext learner's body its initial weights; returns their source: a file, ImageNet (where they fit) or fresh.

        Raises:
            TrainingImpossible: there are no weights of an encoder of timm's.
        """
        if isinstance(body, TimmEncoder):
            return Source.PRETRAINED if self.init != "fresh" and self._from_file(body) else Source.FRESH
        wanted = self.init == "imagenet" or (self.init == "auto" and body.form.imagenet is not None)
        return Source.IMAGENET if wanted and self._from_imagenet(body) else Source.FRESH

    def init_task(self, task: MainTask) -> Source:
        """Gives the main task's model its initial weights; returns their source.

        Raises:
            TrainingImpossible: there are no weights of an encoder of timm's.
        """
        take: dict[Source, Callable[[], bool]] = {
            Source.PREVIOUS: lambda: self._from_previous(task),
            Source.PRETEXT: lambda: self._from_learner(task.body),
            Source.IMAGENET: lambda: self._from_imagenet(task.body),
            Source.PRETRAINED: lambda: self._from_file(task.body),
        }
        order = PRETRAINED_ORDER if isinstance(task.body, TimmEncoder) else ORDER
        first: tuple[Source, ...] = (Source.PREVIOUS,) if self.warm_start else ()
        for source in (*first, *order[self.init]):
            if take[source]():
                return source
        if self.init != "fresh":
            gone = self.learner is not None and not artefacts.is_complete(self.learner)
            lost = "the pretext learner is missing or damaged. It is trained again before the next model"
            self.note(f"Training starts from fresh weights: {lost if gone else f'there are none for init={self.init}'}.")
        return Source.FRESH

    def described(self, source: Source) -> Json:
        """What a manifest says of the weights that came from a source."""
        if source is not Source.PRETRAINED or self.file is None:
            return {"init": source}
        return {"init": source, "weights": self.file.model_dump()}

    def _from_file(self, body: Body) -> bool:
        if isinstance(body, TimmEncoder):
            self.file = pretrained.give(body, self.folder, self.pretrained, self.note)
        return isinstance(body, TimmEncoder)

    def _from_imagenet(self, body: Body) -> bool:
        if body.form.imagenet is None:
            self.note("ImageNet weights fit images above 64 pixels at width 64 only.")
            return False
        weights = imagenet.load(body.form.imagenet, self.pretrained, self.note)
        if weights is None:
            return False
        body.load_imagenet(weights)
        return True

    def _from_previous(self, task: MainTask) -> bool:
        if self.previous is None:
            return False
        try:
            previous = load_model(self.previous).task
        except StoreCorrupt as error:
            self.note(str(error))
            return False
        if previous.body.form != task.body.form or previous.name != task.name:
            self.note("The previous model has another form; its weights cannot be used.")
            return False
        if previous.classes == task.classes:
            task.model.load_state_dict(previous.model.state_dict())
        else:
            self.note("The classes have changed since the previous model: its last layer starts from fresh weights.")
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
            self.note("The pretext learner has another form; its weights are used again once it has been retrained.")
            return False
        body.load_state_dict(learner.body.state_dict())
        return True
