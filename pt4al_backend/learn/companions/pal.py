"""PAL (Bhatnagar, Goyal, Tank and Sethi, BMVC 2021): images whose orientation and class a second network finds hard.

The second network learns from the labelled images alone, from fresh weights: which of four orientations a view has, and
the class of the upright one; SGD at 0.01, minibatches of 64. An image's score is the sum of its posteriors of the right
orientations, plus the divergence of the class posterior from the uniform one (base 2); the lowest are queried. The query
comes in parts: after each the network learns the orientations of what was chosen so far (5 epochs, a tenth of the rate), and
its new orientation sum is added to the first score. Deviations from the published code:

* as many epochs as the main task's, cosine schedule, and the last epoch's network (not the best on a validation set);
* a fifth of the query in each part, at most 512, which published is 512 of 2,500;
* orientations of the largest centred square.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn import augmentation, networks
from pt4al_backend.learn.companions.base import Companion, CompanionInput, confidences_by_rank
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.loop import Recipe, Training, limit_minibatch
from pt4al_backend.learn.minibatches import Data, Minibatch
from pt4al_backend.learn.networks import Body, pooled
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.pretext.rotation import VIEWS, orientations, rotations
from pt4al_backend.phases import Phase

RATE = 0.01
MINIBATCH = 64
TUNING_EPOCHS = 5
PARTS, LARGEST_PART = 5, 512


class _Network(nn.Module):
    """A body with a layer for orientations and one for classes."""

    def __init__(self, body: Body, classes: int) -> None:
        super().__init__()
        self.body = body
        self.orientation = nn.Linear(body.features, VIEWS)
        self.classes = nn.Linear(body.features, classes)

    def views(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of orientations [4 m, 4], orientation by orientation, and of classes [m, C]."""
        features = pooled(self.body(rotations(images)))
        with torch.autocast(features.device.type, enabled=False):
            return self.orientation(features), self.classes(features[: len(images)])


class _Scoring(Trainable):
    """Both tasks, on images with classes; on images alone the orientations."""

    def __init__(self, model: _Network, augment: augmentation.Augment) -> None:
        self.model: _Network = model
        self._augment = augment

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        images, *targets = minibatch
        orientation_logits, class_logits = self.model.views(self._augment(images, rng))
        loss = F.cross_entropy(orientation_logits, orientations(images))
        return loss + F.cross_entropy(class_logits, targets[0]) if targets else loss


class _Subset:
    """The images at some positions of others."""

    def __init__(self, data: Data, positions: NDArray[np.int64]) -> None:
        self._data, self._positions = data, positions

    def __len__(self) -> int:
        return len(self._positions)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        return self._data.minibatch(self._positions[positions], rng)


class Pal(Companion):
    """Confidence is the rank in which candidates are chosen. For main tasks with posteriors of images."""

    def confidences(self, inputs: CompanionInput) -> NDArray[np.float64]:
        _, augment = augmentation.of_shape(inputs.shape)
        model = _Network(networks.build(self.task.body.form), len(self.task.classes))
        self._train(model, augment, inputs.training_data, inputs.recipe.epochs, RATE, inputs)
        first = self._scores(model, inputs)
        scores, chosen = first.sum(1), np.empty(0, np.int64)
        while len(chosen) < min(inputs.query_size, len(scores)):
            part = min(LARGEST_PART, -(-inputs.query_size // PARTS), inputs.query_size - len(chosen))
            order = np.argsort(scores, kind="stable")
            chosen = np.concatenate([chosen, order[~np.isin(order, chosen)][:part]])
            if len(chosen) > 1 and len(chosen) < inputs.query_size:
                tuned = copy.deepcopy(model)
                picked = _Subset(inputs.candidates, chosen)
                self._train(tuned, augmentation.unchanged, picked, TUNING_EPOCHS, RATE / 10, inputs)
                scores = first.sum(1) + self._scores(tuned, inputs)[:, 0]
        order = np.argsort(scores, kind="stable")
        return confidences_by_rank(np.concatenate([chosen, order[~np.isin(order, chosen)]]))

    def _train(
        self, model: _Network, augment: augmentation.Augment, data: Data, epochs: int, rate: float, inputs: CompanionInput
    ) -> None:
        recipe = Recipe(epochs, limit_minibatch(MINIBATCH, len(data)), rate)
        seed, device, report = inputs.settings.seed, inputs.device, inputs.report
        Training(_Scoring(model, augment), data, recipe, device=device, seed=seed, phase=Phase.COMPANION, report=report).run()

    def _scores(self, model: _Network, inputs: CompanionInput) -> NDArray[np.float64]:
        """Float64 [m, 2] of the candidates: the summed posteriors of the right orientations, the class posterior's divergence."""

        def predict(images: Tensor) -> tuple[Tensor, ...]:
            orientation_logits, class_logits = model.views(images)
            right = orientation_logits.double().softmax(1).gather(1, orientations(images)[:, None]).view(VIEWS, -1).sum(0)
            uniform = -np.log2(class_logits.shape[1]) - class_logits.double().log_softmax(1).mean(1) / np.log(2)
            return (torch.stack([right, uniform], 1),)

        return inputs.score_candidates(model, predict, scoring_size(inputs.device, inputs.shape, VIEWS))
