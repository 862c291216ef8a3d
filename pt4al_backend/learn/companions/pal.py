"""PAL (Bhatnagar, Goyal, Tank and Sethi, BMVC 2021): images whose orientation and class a second network finds hard.

The second network learns from the labelled images alone, from fresh weights: which of four orientations a view has, and
the class of the upright one; SGD at 0.01, minibatches of 64. An image's score is the sum of its posteriors of the right
orientations, plus the divergence of the class posterior from the uniform one (base 2); the lowest are asked. The query
comes in parts: after each the network learns the orientations of what was asked so far (5 epochs, a tenth of the rate), and
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
from pt4al_backend.learn.companions.base import Companion, CompanionInput, by_place
from pt4al_backend.learn.loop import Recipe, Trainable, Training, few_images, scoring_size
from pt4al_backend.learn.minibatches import Data, Minibatch
from pt4al_backend.learn.networks import Body, pooled
from pt4al_backend.learn.pretext.rotation import VIEWS, orientations, rotations

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
        self.kind = nn.Linear(body.features, classes)

    def views(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of orientations [4 m, 4], orientation by orientation, and of classes [m, C]."""
        features = pooled(self.body(rotations(images)))
        with torch.autocast(features.device.type, enabled=False):
            return self.orientation(features), self.kind(features[: len(images)])


class _Scoring(Trainable):
    """Both tasks, on images with classes; on images alone the orientations."""

    def __init__(self, model: _Network, augment: augmentation.Augment) -> None:
        self.model: _Network = model
        self._augment = augment

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        images, *targets = minibatch
        turned, kinds = self.model.views(self._augment(images, rng))
        loss = F.cross_entropy(turned, orientations(images))
        return loss + F.cross_entropy(kinds, targets[0]) if targets else loss


class _Chosen:
    """The images at some positions of others."""

    def __init__(self, data: Data, positions: NDArray[np.int64]) -> None:
        self._data, self._positions = data, positions

    def __len__(self) -> int:
        return len(self._positions)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        return self._data.minibatch(self._positions[positions], rng)


class Pal(Companion):
    """Confidence is the place in the order in which candidates are chosen. For main tasks with posteriors of images."""

    def confidences(self, asked: CompanionInput) -> NDArray[np.float64]:
        _, augment = augmentation.of_shape(asked.shape)
        model = _Network(networks.build(self.task.body.form), len(self.task.classes))
        self._train(model, augment, asked.training_data, asked.recipe.epochs, RATE, asked)
        first = self._scores(model, asked)
        scores, chosen = first.sum(1), np.empty(0, np.int64)
        while len(chosen) < min(asked.k, len(scores)):
            part = min(LARGEST_PART, -(-asked.k // PARTS), asked.k - len(chosen))
            order = np.argsort(scores, kind="stable")
            chosen = np.concatenate([chosen, order[~np.isin(order, chosen)][:part]])
            if len(chosen) > 1 and len(chosen) < asked.k:
                tuned = copy.deepcopy(model)
                picked = _Chosen(asked.candidates, chosen)
                self._train(tuned, augmentation.unchanged, picked, TUNING_EPOCHS, RATE / 10, asked)
                scores = first.sum(1) + self._scores(tuned, asked)[:, 0]
        order = np.argsort(scores, kind="stable")
        return by_place(np.concatenate([chosen, order[~np.isin(order, chosen)]]))

    def _train(
        self, model: _Network, augment: augmentation.Augment, data: Data, epochs: int, rate: float, asked: CompanionInput
    ) -> None:
        recipe = Recipe(epochs, few_images(MINIBATCH, len(data)), rate)
        seed, device, report = asked.settings.seed, asked.device, asked.report
        Training(_Scoring(model, augment), data, recipe, device=device, seed=seed, phase="companion", report=report).run()

    def _scores(self, model: _Network, asked: CompanionInput) -> NDArray[np.float64]:
        """Of the candidates [m, 2]: posteriors of the right orientations, summed, and the divergence of the class posterior."""

        def look(images: Tensor) -> tuple[Tensor, ...]:
            turned, kinds = model.views(images)
            right = turned.double().softmax(1).gather(1, orientations(images)[:, None]).view(VIEWS, -1).sum(0)
            uniform = -np.log2(kinds.shape[1]) - kinds.double().log_softmax(1).mean(1) / np.log(2)
            return (torch.stack([right, uniform], 1),)

        return asked.of_candidates(model, look, scoring_size(asked.device, asked.shape, VIEWS))
