"""Base of the pretext tasks: objectives without labels whose loss on one image ranks that image (PT4AL, section 4.2)."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.learn.loop import Recipe, limit_minibatch
from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.objective import Objective
from pt4al_backend.measures import PretextQuality

#: Standard deviation of the losses, as a part of their mean, below which their order is noise. Not in nats: a learner that
#: has memorised its pool has tiny losses, and still orders them.
LEAST_SPREAD = 0.01


class Pretext(Objective):
    """Base of the pretext tasks. A subclass builds ``model`` around ``body``, which the main task then starts from.

    Images are uint8 [m, 3, H, W] of any shape. A subclass relies only on the body's ``features`` and on the feature map that it
    makes, of whatever stride.

    ``scores`` gives float64 [m, k], column 0 the pretext loss of each image; the other columns are for ``quality``. It draws
    nothing at random: an image's loss is the same however often, and with whatever other images, it is scored.
    """

    name: ClassVar[str]
    rate: ClassVar[float]  #: highest learning rate for fresh weights
    body: Body

    @abstractmethod
    def __init__(self, body: Body) -> None: ...

    def recipe(self, images: int, settings: ProjectSettings, device: torch.device, *, fresh: bool) -> Recipe:
        """How ``images`` images are learned; ``fresh`` is False if the body has weights from elsewhere.

        15 epochs by default; the learning rate climbs to ``rate`` (a tenth of it unless fresh) in 30 % of them, then falls along
        a cosine to 0. Minibatches of 64 images on a CPU, 256 (the paper's for rotation) on a GPU.
        """
        return Recipe(
            epochs=settings.pretext_epochs,
            minibatch_size=limit_minibatch(64 if device.type == "cpu" else 256, images),
            learning_rate=settings.learning_rate or self.body.rate_share * (self.rate if fresh else self.rate / 10),
            warmup=0.3,
            layer_decay=1.0 if fresh else self.body.layer_decay,
        )

    @abstractmethod
    def quality(self, scores: NDArray[Any]) -> PretextQuality:
        """Whether a ranking by scores, [n, k], means anything; best judged by images that the learner was not trained on."""


def too_alike(name: str, losses: NDArray[Any]) -> str:
    """A sentence for the user if losses above 0, [n], hardly differ, else nothing."""
    spread = float(losses.std())
    if spread >= LEAST_SPREAD * float(losses.mean()):
        return ""
    return f"The {name} losses of the images hardly differ (by {spread:.1e}): the images are too alike to be ranked."
