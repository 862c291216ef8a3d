"""Segmentation: a class for every pixel; cross-entropy by DeepLab, and confidences that are means over the pixels.

PT4AL (section 5.2) trains DeepLab with ResNet-101 from ImageNet's weights on Cityscapes at 1024 x 512, one image a step, without
augmentation; it does not say which DeepLab, for how long, or what an image's confidence is. Not as there: minibatches of 8, as
batch normalisation of one image is poor (``networks.deeplab`` says how a single one is normalised), augmentation, and frames of
the project's own size. ``preset = "paper"`` starts from fresh weights here as well, unless ``init = "imagenet"`` is set too.

The recipe is every main task's (``MainTask.recipe``); docs/results/segmentation.md has what learning rates and weights came to.
"""

import re
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape, fit_ids
from pt4al_backend.images.mask_files import UNLABELLED, Mask, MaskFiles, id_of
from pt4al_backend.learn.augmentation import Scenes
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.labels import iou
from pt4al_backend.learn.labels.base import Answer, Confidences, Metrics, Targets, require_finite
from pt4al_backend.learn.labels.classes import balanced_weights, require_two_classes
from pt4al_backend.learn.minibatches import Data, Minibatch
from pt4al_backend.learn.networks import Body, EncoderForm, Form, TimmForm, pooled
from pt4al_backend.learn.networks.segmenter import Segmenter
from pt4al_backend.learn.stored_images import StoredPairs
from pt4al_backend.learn.tasks.base import Losses, MainTask
from pt4al_backend.learn.tasks.target_masks import TargetMasks
from pt4al_backend.query.confidence import SAMPLERS

_MASK_NAME = re.compile(r"\d+x\d+-[0-9a-f]+")


def pixel_confidences(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Confidences of pixels, float32 [m, 3, ...] in the order of ``SAMPLERS``, and their likeliest classes, int64 [m, ...].

    The same as the samplers of ``query.confidence``, which take rows of posteriors in numpy, from float32 logits [m, C, ...] on
    the device, without ever holding the posteriors.
    """
    top, ids = logits.max(1, keepdim=True)
    below = logits - top
    powers = below.exp()
    total = powers.sum(1)
    entropy = total.log() - below.mul_(powers).sum(1) / total
    second = powers.scatter_(1, ids, 0).amax(1)
    least = 1 - entropy / np.log(max(logits.shape[1], 2))
    return torch.stack([1 / total, (1 - second) / total, least], 1).clamp(0, 1), ids[:, 0]


def mean_of_lowest(values: Tensor, share: float) -> Tensor:
    """Mean over the pixels, or over the ``share`` of them with the lowest values: [m, k, H, W] -> float64 [m, k]."""
    pixels = values.flatten(2)
    if share < 1:
        pixels = pixels.topk(ceil(share * pixels.shape[2]), largest=False, sorted=False).values
    return pixels.mean(2, dtype=torch.float64)


class Segmentation(MainTask):
    """``predict`` gives confidences float64 [m, 3], class ids uint8 [m, H, W], and classes' scores float32 [m, C]."""

    name = "segmentation"
    minibatch_size = 8
    model: Segmenter
    max_answers = 5000

    @staticmethod
    def form(_shape: Shape, settings: ProjectSettings, device: torch.device) -> Form:
        """A pretrained encoder if one is set, else the paper's ResNet-101 on a GPU and ResNet-18 on a CPU."""
        if settings.pretrained_encoder:
            return TimmForm(settings.pretrained_encoder, settings.architecture)
        return EncoderForm(settings.encoder or ("resnet101" if device.type == "cuda" else "resnet18"), settings.architecture)

    def __init__(self, body: Body, classes: tuple[str, ...], shape: Shape, settings: ProjectSettings) -> None:
        self.body, self.classes, self._shape, self._settings = body, classes, shape, settings
        self.model = Segmenter(body, len(classes))
        self._weights: Tensor | None = None

    # learning

    def targets(self, labels: Sequence[str], masks: MaskFiles | None, file: Path) -> Targets:
        """Masks at the size of the frame, each pixel with its nearest's id; ``settings.unlabelled`` is applied to them."""
        unlabelled = self._unlabelled_id()

        def read(name: str) -> NDArray[np.uint8]:
            if masks is None or not _MASK_NAME.fullmatch(name):
                raise TrainingImpossible(f"The label {name!r} is no mask.", "Check that the labeling config is for masks.")
            ids = fit_ids(masks.get(name).ids, self._shape)
            ids[ids == UNLABELLED] = unlabelled
            highest = int(ids[ids != UNLABELLED].max(initial=0))
            if highest >= len(self.classes):
                raise TrainingImpossible(
                    f"The mask {name} holds a class number {highest}, where there are {len(self.classes)} classes from 0.",
                    "Check the classes in the labeling config, then train again.",
                )
            return ids

        return TargetMasks(file, self._shape, labels, read)

    def _unlabelled_id(self) -> int:
        """The id that pixels without a class get."""
        if self._settings.unlabelled == "ignore":
            return UNLABELLED
        background = id_of(self._settings.background, self.classes)
        if background is None:
            raise TrainingImpossible(
                f"Pixels without a label are to be {self._settings.background!r}, which is no class of this project.",
                "Set unlabelled to ignore in the extra params, or background to a class.",
            )
        return background

    def training_data(self, pixels: FrameFile, rows: NDArray[np.int64], targets: Targets) -> Data:
        each = (np.bincount(targets[np.array([k])].ravel(), minlength=UNLABELLED + 1) for k in range(len(rows)))
        counts = sum(each, np.zeros(UNLABELLED + 1, np.int64))[: len(self.classes)]
        require_two_classes(counts, self.classes)
        if self._settings.class_weights == "balanced":
            self._weights = torch.from_numpy(balanced_weights(counts))
        return StoredPairs(pixels, rows, targets, Scenes(self._shape))

    def losses(self, minibatch: Minibatch, rng: np.random.Generator) -> Losses:
        """Cross-entropy, the mean over the pixels of an image that have a class (by weight); 0 where none has."""
        images, masks = minibatch
        torch.manual_seed(int(rng.integers(2**63)))  # of the decoder's dropout, so that it depends on the step alone
        maps, logits = self.model.maps_and_logits(images)
        targets = masks.long()
        weights = self._weights
        if weights is None:
            weights = torch.ones(len(self.classes), device=images.device)
        weights = weights.to(images.device, non_blocking=True)
        totals = F.cross_entropy(logits, targets, weights, ignore_index=UNLABELLED, reduction="none").sum((1, 2))
        known = F.pad(weights, (0, UNLABELLED + 1 - len(weights)))[targets].sum((1, 2))
        return Losses(maps, totals / known.clamp(min=torch.finfo(torch.float32).tiny), known)

    # predicting

    def minibatch_limit(self, device: torch.device) -> int:
        return scoring_size(device, self._shape, views=1, classes=len(self.classes))

    def maps(self, images: Tensor) -> list[Tensor]:
        return self.body.maps(self.model.padded(images))

    def predict_with_features(self, images: Tensor) -> tuple[Tensor, ...]:
        maps, logits = self.model.maps_and_logits(images)
        values, ids = pixel_confidences(logits)
        top, areas = values[:, 0].flatten(1), ids.flatten(1)
        diverged = ~top.isfinite().all(1, keepdim=True)  # which sorting would take for certainty
        confidences = mean_of_lowest(values, self._settings.uncertain_share).masked_fill(diverged, torch.nan)
        none = top.new_zeros((len(top), len(self.classes)))
        sums, sizes = none.scatter_add(1, areas, top), none.scatter_add(1, areas, torch.ones_like(top))
        return pooled(maps[-1]), confidences, ids.to(torch.uint8), sums / sizes.clamp(min=1)

    def interpret(self, rows: tuple[NDArray[Any], ...]) -> tuple[Confidences, list[Answer]]:
        confidences, ids, scores = rows
        require_finite(confidences)
        answers: list[Answer] = [
            Mask(mask, {int(k): float(row[k]) for k in np.flatnonzero(row)}, self.classes)
            for mask, row in zip(ids, scores, strict=True)
        ]
        return {name: confidences[:, k] for k, name in enumerate(SAMPLERS)}, answers

    def store(self, answer: Answer, masks: MaskFiles) -> str:
        assert isinstance(answer, Mask)  # noqa: S101 - its own
        return masks.put(answer)

    # measuring

    def tally(self, answers: Sequence[Answer], targets: NDArray[Any]) -> NDArray[Any]:
        tallies = np.zeros((len(answers), len(self.classes), 3), np.int64)
        for k, (answer, truth) in enumerate(zip(answers, targets, strict=True)):
            assert isinstance(answer, Mask)  # noqa: S101 - its own
            tallies[k] = iou.tally(answer.ids, truth, len(self.classes))
        return tallies

    def metrics(self, tallies: NDArray[Any]) -> Metrics:
        """Mean intersection over union at the size of the frame, to which the annotators' masks are scaled (nearest pixel)."""
        return iou.metrics(tallies, self.classes)
