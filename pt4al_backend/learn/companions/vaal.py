"""VAAL (Sinha, Ebrahimi and Darrell, ICCV 2019): a discriminator of labelled and unlabelled images, in a learned latent space.

A variational autoencoder learns to draw images of both kinds, and to make their latent codes look labelled to a discriminator
that learns to tell them apart; asked are the images that it is surest are unlabelled. Per iteration two steps of the
autoencoder, mean squared error + KL divergence (summed, as in the published code) + adversarial loss, and one of
the discriminator; Adam, 5e-4; 128 images of each kind. Deviations from the published code:

* the iterations are those of the later comparisons' port, (labels + 10,000) x 100 / 128, not 39,062; on a CPU 200, with an
  eighth of the channels and 32 images, unless ``companion_steps`` says otherwise: results of a CPU are not VAAL's;
* images are brought to 32 x 32 pixels, whatever their size; minibatches are drawn anew in each step, not epoch by epoch;
* unlabelled images are those that are candidates.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn.companions.base import Companion, CompanionInput
from pt4al_backend.learn.loop import Progress, scoring_size
from pt4al_backend.learn.minibatches import Data, half

SIDE = 32
LATENT = 32
HIDDEN = 512
RATE = 5e-4


@dataclass(frozen=True)
class Plan:
    """How an autoencoder and a discriminator are trained: ``width`` is the channels of the first stage.

    ``encoder_steps`` of the autoencoder in each of ``iterations``; ``mean_divergence`` averages the KL divergence over
    images and codes, instead of summing it.
    """

    iterations: int
    minibatch: int
    width: int
    encoder_steps: int
    mean_divergence: bool

    @classmethod
    def of(cls, asked: CompanionInput, *, encoder_steps: int, mean_divergence: bool) -> "Plan":
        """As published on a GPU, much less on a CPU."""
        gpu = asked.device.type == "cuda"
        published = (len(asked.labelled) + 10_000) * 100 // 128
        iterations = asked.settings.companion_steps or (published if gpu else 200)
        minibatch = asked.settings.minibatch_size or (128 if gpu else 32)
        return cls(iterations, minibatch, 128 if gpu else 16, encoder_steps, mean_divergence)


class Autoencoder(nn.Module):
    """Images [m, 3, 32, 32] in -1..1 to codes and back; ``extra`` numbers of an image go to the decoder beside its code."""

    def __init__(self, width: int, extra: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 8 * width)
        down: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            down += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean = nn.Linear(widths[-1] * 4, LATENT)
        self.log_variance = nn.Linear(widths[-1] * 4, LATENT)
        up: list[nn.Module] = [nn.Linear(LATENT + extra, widths[-1] * 16), nn.Unflatten(1, (widths[-1], 4, 4))]
        for before, after in zip(widths[:1:-1], widths[-2:0:-1], strict=True):
            up += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(*up, nn.ConvTranspose2d(width, 3, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor, extra: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images drawn anew from a sample of their codes, and the codes' means and log variances [m, LATENT]."""
        mean, log_variance = self.code(images)
        sample = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(torch.cat([sample, extra], 1)), mean, log_variance

    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of the codes of images."""
        seen = self.encoder(images)
        return self.mean(seen), self.log_variance(seen)


def _discriminator(inputs: int) -> nn.Sequential:
    """One logit for each row, high for labelled."""
    made = nn.Sequential(
        nn.Linear(inputs, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, 1)
    )
    for module in made:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return made


def _small(images: Tensor) -> Tensor:
    """uint8 [m, 3, H, W] to float32 [m, 3, 32, 32] in -1..1."""
    return F.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False) / 127.5 - 1


def _told(logits: Tensor, labelled: float) -> Tensor:
    """How badly logits say that all images are labelled (1) or not (0)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, labelled))


class Vaal(Companion):
    """Confidence is the probability of being labelled. A subclass may give numbers beside the codes."""

    encoder_steps = 2
    mean_divergence = False
    extra = 0

    def beside_code(self, images: Tensor) -> Tensor:
        """``extra`` numbers of images uint8 [m, 3, H, W]: float32 [m, extra]."""
        return images.new_zeros((len(images), 0), dtype=torch.float32)

    def confidences(self, asked: CompanionInput) -> NDArray[np.float64]:
        plan = Plan.of(asked, encoder_steps=self.encoder_steps, mean_divergence=self.mean_divergence)
        coder = Autoencoder(plan.width, self.extra).to(asked.device)
        judge = _discriminator(LATENT + self.extra).to(asked.device)
        self.task.model.to(asked.device).eval()
        self._train(plan, coder, judge, asked)

        def look(images: Tensor) -> tuple[Tensor, ...]:
            code, _ = coder.code(_small(images))
            return (judge(torch.cat([code, self.beside_code(images)], 1))[:, 0].double().sigmoid(),)

        size = min(scoring_size(asked.device, asked.shape, 1), self.task.together(asked.device))
        return asked.of_candidates(nn.ModuleList([coder, judge]), look, size)

    def _train(self, plan: Plan, coder: Autoencoder, judge: nn.Module, asked: CompanionInput) -> None:
        rng = np.random.default_rng(asked.settings.seed)
        coder.train()
        by_coder = torch.optim.Adam(coder.parameters(), RATE)
        by_judge = torch.optim.Adam(judge.parameters(), RATE)

        def draw(data: Data, size: int) -> tuple[Tensor, Tensor]:
            positions = rng.integers(0, len(data), size)
            images = data.minibatch(positions, rng)[0].to(asked.device, non_blocking=True)
            with torch.no_grad():
                return _small(images), self.beside_code(images)

        def step(size: int) -> None:
            for _ in range(plan.encoder_steps):
                labelled, unlabelled = draw(asked.labelled, size), draw(asked.candidates, size)
                loss = sum((self._coder_loss(plan, coder, judge, *each) for each in (labelled, unlabelled)), torch.zeros(()))
                by_coder.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                by_coder.step()
            with torch.no_grad():
                codes = [torch.cat([coder.code(images)[0], extra], 1) for images, extra in (labelled, unlabelled)]
            loss = _told(judge(codes[0]), 1.0) + _told(judge(codes[1]), 0.0)
            by_judge.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            by_judge.step()

        size, done = plan.minibatch, 0
        while done < plan.iterations:
            note = ""
            try:
                step(size)
                done += 1
            except (RuntimeError, MemoryError) as error:
                size = half(size, error)
                note = f"Memory ran out: going on with minibatches of {size} images."
            asked.report(Progress("companion", 1, 1, done, plan.iterations, note))

    def _coder_loss(self, plan: Plan, coder: Autoencoder, judge: nn.Module, images: Tensor, extra: Tensor) -> Tensor:
        drawn, mean, log_variance = coder(images, extra.sigmoid())
        each = -0.5 * (1 + log_variance - mean**2 - log_variance.exp())
        divergence: Tensor = each.mean() if plan.mean_divergence else each.sum()
        return F.mse_loss(drawn, images) + divergence + _told(judge(torch.cat([mean, extra], 1)), 1.0)
