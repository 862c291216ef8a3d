"""VAAL (Sinha, Ebrahimi and Darrell, ICCV 2019): a discriminator of labelled and unlabelled images, in a learned latent space.

A variational autoencoder learns to reconstruct images of both kinds, and to make their latent codes look labelled to a
discriminator that learns to distinguish them; the images that it is surest are unlabelled are queried. Per iteration two steps
of the autoencoder, mean squared error + KL divergence (summed, as in the published code) + adversarial loss, and one of
the discriminator; Adam, 5e-4; 128 images of each kind. Deviations from the published code:

* the iterations are those of the later comparisons' port, (labels + 10,000) x 100 / 128, not 39,062; on a CPU 200, with an
  eighth of the channels and 32 images, unless ``companion_steps`` says otherwise: results of a CPU are not VAAL's;
* images are brought to 32 x 32 pixels, whatever their size; minibatches are drawn independently in each step, not epoch by epoch;
* unlabelled images are those that are candidates.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn import peers
from pt4al_backend.learn.companions.base import Companion, CompanionInput
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.minibatches import Data, halve
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress

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
    def of(cls, inputs: CompanionInput, *, encoder_steps: int, mean_divergence: bool) -> "Plan":
        """As published on a GPU, much less on a CPU."""
        gpu = inputs.device.type == "cuda"
        published = (len(inputs.labelled) + 10_000) * 100 // 128
        iterations = inputs.settings.companion_steps or (published if gpu else 200)
        minibatch = inputs.settings.minibatch_size or (128 if gpu else 32)
        return cls(iterations, minibatch, 128 if gpu else 16, encoder_steps, mean_divergence)


class Autoencoder(nn.Module):
    """Images [m, 3, 32, 32] in -1..1 to codes and back; ``extra_width`` numbers of each go to the decoder beside its code."""

    def __init__(self, width: int, extra_width: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 8 * width)
        down: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            down += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean = nn.Linear(widths[-1] * 4, LATENT)
        self.log_variance = nn.Linear(widths[-1] * 4, LATENT)
        up: list[nn.Module] = [nn.Linear(LATENT + extra_width, widths[-1] * 16), nn.Unflatten(1, (widths[-1], 4, 4))]
        for before, after in zip(widths[:1:-1], widths[-2:0:-1], strict=True):
            up += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(*up, nn.ConvTranspose2d(width, 3, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor, extra: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images reconstructed from a sample of their codes, and the codes' means and log variances [m, LATENT]."""
        mean, log_variance = self.code(images)
        sample = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(torch.cat([sample, extra], 1)), mean, log_variance

    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of the codes of images."""
        encoded = self.encoder(images)
        return self.mean(encoded), self.log_variance(encoded)


def _discriminator(width: int) -> nn.Sequential:
    """A network with one logit for each row, high for labelled."""
    layers = nn.Sequential(
        nn.Linear(width, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, 1)
    )
    for module in layers:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return layers


def _small(images: Tensor) -> Tensor:
    """uint8 [m, 3, H, W] to float32 [m, 3, 32, 32] in -1..1."""
    return F.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False) / 127.5 - 1


def _label_loss(logits: Tensor, labelled: float) -> Tensor:
    """Cross-entropy of logits whose images are all labelled (1) or all unlabelled (0)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, labelled))


class Vaal(Companion):
    """Confidence is the probability of being labelled. A subclass may give numbers beside the codes."""

    encoder_steps = 2
    mean_divergence = False
    extra_width = 0

    def extra_inputs(self, images: Tensor) -> Tensor:
        """Numbers beside the codes of images uint8 [m, 3, H, W]: float32 [m, extra_width]."""
        return images.new_zeros((len(images), 0), dtype=torch.float32)

    def confidences(self, inputs: CompanionInput) -> NDArray[np.float64]:
        plan = Plan.of(inputs, encoder_steps=self.encoder_steps, mean_divergence=self.mean_divergence)
        autoencoder = Autoencoder(plan.width, self.extra_width).to(inputs.device)
        discriminator = _discriminator(LATENT + self.extra_width).to(inputs.device)
        self.task.model.to(inputs.device).eval()
        both = nn.ModuleList([autoencoder, discriminator])
        peers.by_first(both, lambda: self._train(plan, autoencoder, discriminator, inputs))

        def predict(images: Tensor) -> tuple[Tensor, ...]:
            code, _ = autoencoder.code(_small(images))
            return (discriminator(torch.cat([code, self.extra_inputs(images)], 1))[:, 0].double().sigmoid(),)

        size = min(scoring_size(inputs.device, inputs.shape, 1), self.task.minibatch_limit(inputs.device))
        return inputs.score_candidates(both, predict, size)

    def _train(self, plan: Plan, autoencoder: Autoencoder, discriminator: nn.Module, inputs: CompanionInput) -> None:
        rng = np.random.default_rng(inputs.settings.seed)
        autoencoder.train()
        coder_optimizer = torch.optim.Adam(autoencoder.parameters(), RATE)
        discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), RATE)

        def draw(data: Data, size: int) -> tuple[Tensor, Tensor]:
            positions = rng.integers(0, len(data), size)
            images = data.minibatch(positions, rng)[0].to(inputs.device, non_blocking=True)
            with torch.no_grad():
                return _small(images), self.extra_inputs(images)

        def step(size: int) -> None:
            for _ in range(plan.encoder_steps):
                labelled, unlabelled = draw(inputs.labelled, size), draw(inputs.candidates, size)
                loss = sum(
                    (self._autoencoder_loss(plan, autoencoder, discriminator, *each) for each in (labelled, unlabelled)),
                    torch.zeros(()),
                )
                coder_optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                coder_optimizer.step()
            with torch.no_grad():
                codes = [torch.cat([autoencoder.code(images)[0], extra], 1) for images, extra in (labelled, unlabelled)]
            loss = _label_loss(discriminator(codes[0]), 1.0) + _label_loss(discriminator(codes[1]), 0.0)
            discriminator_optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            discriminator_optimizer.step()

        size, done = plan.minibatch, 0
        while done < plan.iterations:
            note = ""
            try:
                step(size)
                done += 1
            except (RuntimeError, MemoryError) as error:
                size = halve(size, error)
                note = f"Memory ran out: continuing with minibatches of {size} images."
            inputs.report(Progress(Phase.COMPANION, 1, 1, done, plan.iterations, note))

    def _autoencoder_loss(
        self, plan: Plan, autoencoder: Autoencoder, discriminator: nn.Module, images: Tensor, extra: Tensor
    ) -> Tensor:
        drawn, mean, log_variance = autoencoder(images, extra.sigmoid())
        each = -0.5 * (1 + log_variance - mean**2 - log_variance.exp())
        divergence: Tensor = each.mean() if plan.mean_divergence else each.sum()
        return F.mse_loss(drawn, images) + divergence + _label_loss(discriminator(torch.cat([mean, extra], 1)), 1.0)
