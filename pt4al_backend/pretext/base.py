"""What a pretext task is: an objective without labels whose loss on one image ranks that image."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from pt4al_backend.networks import Body
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.training import Objective, Recipe


@dataclass(frozen=True)
class Quality:
    """Whether a ranking means anything.

    ``accuracy`` of the pretext task over the scored images and ``chance``, its value without learning, both 0..1 or
    None where the task has no accuracy; ``spread``, the standard deviation of the losses; ``reason`` is a sentence
    for the user, empty if the ranking is meaningful.
    """

    accuracy: float | None
    chance: float | None
    spread: float
    meaningful: bool
    reason: str = ""


class Pretext(Objective):
    """Base of the pretext tasks. A subclass builds ``model`` around ``body``, which the main task then starts from.

    ``scores`` gives float64 [m, k], column 0 the pretext loss of each image; the other columns are for ``quality``.
    It draws nothing at random: an image's loss is the same however often and beside whatever it is scored.
    """

    name: ClassVar[str]
    body: Body

    @abstractmethod
    def __init__(self, body: Body) -> None: ...

    @abstractmethod
    def recipe(self, images: int, settings: ProjectSettings, device: torch.device, *, fresh: bool) -> Recipe:
        """How ``images`` images are learned; ``fresh`` is False if the body has weights from elsewhere."""

    @abstractmethod
    def quality(self, scores: NDArray[Any]) -> Quality:
        """What the scores of images, [n, k], say about the ranking by them; best of images that the learner has not seen."""
