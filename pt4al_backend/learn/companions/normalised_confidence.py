"""The top-1 posterior of L2-normalised logits, by which PT4AL's published code samples a batch where its paper has the plain one.

Normalising takes away how large an image's logits are, a temperature of its own for each image, so that images come in
another order. It learns nothing; it is a companion because it asks the model a question that is nobody else's.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.companions.base import Companion, CompanionInput


class NormalisedConfidence(Companion):
    """For main tasks with posteriors of images."""

    def confidences(self, asked: CompanionInput) -> NDArray[np.float64]:

        def look(images: Tensor) -> tuple[Tensor, ...]:
            logits: Tensor = self.task.model(images)
            return (F.normalize(logits.double()).softmax(1).amax(1),)

        return asked.of_candidates(self.task.model, look, self.task.together(asked.device))
