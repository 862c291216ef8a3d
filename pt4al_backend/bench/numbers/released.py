"""The way in which PT4AL's released code trains and scores its rotation learner, for any network: what ours is timed against.

A description, not a copy: image files, opened and decoded each time an image is used; float32; a forward pass for each
orientation; in scoring one image at a time, whose loss is written as a line to a file that is opened for it.

It has less to do here than the released code: it counts no right answers, and the networks normalise pixels themselves and
keep their convolutions channels_last. It has one handicap: the released code decodes ahead in two processes, which a
measurement as short as this would time the start of. ``read`` alone tells how much there was to gain.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional as F

VIEWS = 4
RATE, MOMENTUM, DECAY = 0.01, 0.9, 5e-4  # its rate is 0.1; how long a step takes does not depend on it


def read(files: Sequence[Path]) -> Tensor:
    """Image files of one size: uint8 [m, 3, H, W]."""
    return torch.stack([torch.from_numpy(cv2.imread(str(file))).permute(2, 0, 1) for file in files])


def train(model: nn.Module, files: Sequence[Path], minibatch_size: int, device: torch.device) -> None:
    """One epoch, in the order of the files."""
    model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for start in range(0, len(files), minibatch_size):
        images = read(files[start : start + minibatch_size]).to(device)
        optimizer.zero_grad()
        loss = _loss(model, images)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()


def score(model: nn.Module, files: Sequence[Path], to: Path, device: torch.device) -> None:
    """Appends a line ``loss_path`` to ``to`` for each file."""
    model.to(device).eval()
    with torch.no_grad():
        for file in files:
            loss = _loss(model, read([file]).to(device)).item()
            with to.open("a") as lines:
                lines.write(f"{loss}_{file}\n")


def _loss(model: nn.Module, images: Tensor) -> Tensor:
    """The mean over the orientations, each with a forward pass of its own."""
    losses = []
    for quarter in range(VIEWS):
        right = torch.full((len(images),), quarter, device=images.device)
        losses.append(F.cross_entropy(model(torch.rot90(images, quarter, (2, 3))), right))
    return torch.stack(losses).mean()
