"""The top-1 posterior of L2-normalised logits: what PT4AL's published code samples a batch by; its paper has the plain one.

Normalising removes the length of an image's logits, as a temperature of its own for each image would, so that images come in
another order. It learns nothing; it is a companion because no other strategy needs these outputs of the model.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.companions.base import Companion, CompanionInput


class NormalisedConfidence(Companion):
    """For main tasks with posteriors of images."""

    def confidences(self, inputs: CompanionInput) -> NDArray[np.float64]:

        def predict(images: Tensor) -> tuple[Tensor, ...]:
            logits: Tensor = self.task.model(images)
            return (F.normalize(logits.double()).softmax(1).amax(1),)

        return inputs.score_candidates(self.task.model, predict, self.task.minibatch_limit(inputs.device))
