"""Speed of training as the product does it, from the image store on, against the bare forward and backward pass.

And against the way in which PT4AL's released code does it, in training and in scoring (see ``released``). What is compared
takes turns in one process, on copies of one network.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pt4al_backend.bench.numbers import released
from pt4al_backend.bench.numbers.pictures import CLASSES
from pt4al_backend.bench.numbers.scoring import decoded, place, stored, whole
from pt4al_backend.bench.numbers.stopwatch import seconds_of
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import project_settings
from pt4al_backend.config.catalog import MAIN_TASKS, PRETEXTS
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn import devices, networks
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.inference import score, scoring_size
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.pretext.rotation import orientations, rotations
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import MainTask

SIDE = 32
RATE = 0.01
REPEATS = 5
#: Epochs of each repeat: what is done once a training, not once an epoch, must not show on a fast device.
EPOCHS = {"cpu": 1, "cuda": 20}
#: Share of the images that the classifier learns, and the rotation learner with its four views, where training is slow.
CLASSIFIER_SHARE, ROTATION_SHARE = 0.4, 0.15


def measure(bench: Workbench) -> list[Line]:
    """The classifier, the rotation learner, and scoring with it, on small images."""
    return [_classifier(bench), *_rotation(bench)]


def _classifier(bench: Workbench) -> Line:
    device, shape, frame = place("classification", SIDE)
    kind, settings = MAIN_TASKS.load("classification", MainTask), project_settings()
    task = kind(networks.build(kind.form(shape, settings, device)), CLASSES, shape, settings)
    recipe = Recipe(EPOCHS[device.type], task.minibatch_size, RATE)
    count = whole(bench, _share(CLASSIFIER_SHARE, device), recipe.minibatch_size)
    rows = np.arange(count)
    labels = [bench.pictures.label(k) for k in range(count)]
    with FrameFile(stored(bench, frame, count), frame) as frames:
        training_data = task.training_data(frames, rows, task.targets(labels, None, bench.folder))
        minibatches = _on(device, decoded(training_data, count, recipe.minibatch_size))
        bare = copy.deepcopy(task.model)
        ours, least = in_turns(
            lambda: Training(task, training_data, recipe, device=device).run(),
            lambda: _bare(bare, minibatches, recipe, device),
        )
    return _share_line("training the classifier", count, recipe, ours, least, "the store and augmentation")


def _rotation(bench: Workbench) -> list[Line]:
    device, shape, frame = place("classification", SIDE)
    settings = project_settings()
    form = MAIN_TASKS.load("classification", MainTask).form(shape, settings, device)
    learner = PRETEXTS.load("rotation", Pretext)(networks.build(form))
    size = learner.recipe(bench.sizes.images, settings, device, fresh=True).minibatch_size
    recipe = Recipe(EPOCHS[device.type], size, RATE)
    count = whole(bench, _share(ROTATION_SHARE, device), size)
    files = _files(bench, count)
    with FrameFile(stored(bench, frame, count), frame) as frames:
        images = StoredImages(frames, np.arange(count), Centre(shape))
        views = [(rotations(part), orientations(part)) for (part,) in _on(device, decoded(images, count, size))]
        bare, theirs = copy.deepcopy(learner.model), copy.deepcopy(learner.model)

        def train() -> None:
            for _ in range(recipe.epochs):
                released.train(theirs, files, size, device)

        ours, least, other = in_turns(
            lambda: Training(learner, images, recipe, device=device).run(),
            lambda: _bare(bare, views, recipe, device),
            train,
        )
    reading = recipe.epochs * seconds_of(lambda: released.read(files)) / median(other)
    note = f"files decoded again ({reading:.0%} of its time), four passes, float32"
    return [
        _share_line("training the rotation learner", count, recipe, ours, least, "four views in one pass"),
        _times_line("training the rotation learner", count * recipe.epochs, ours, other, note),
        _scoring(bench, learner, theirs, device),
    ]


def _scoring(bench: Workbench, learner: Pretext, theirs: nn.Module, device: torch.device) -> Line:
    """One minibatch of ours: one image at a time takes seconds for as few."""
    _, shape, frame = place("classification", SIDE)
    count = scoring_size(device, shape, learner.views)
    files, losses = _files(bench, count), bench.folder / "released-losses.txt"
    with FrameFile(stored(bench, frame, count), frame) as frames:
        images = StoredImages(frames, np.arange(count), Centre(shape))
        ours, other = in_turns(
            lambda: score(learner, images, count, device=device),
            lambda: released.score(theirs, files, losses, device),
        )
    return _times_line("pretext scoring", count, ours, other, "files decoded again, one image at a time, four passes, float32")


def _share(share: float, device: torch.device) -> float:
    return share if device.type == "cpu" else 1.0


def _files(bench: Workbench, count: int) -> list[Path]:
    """The first pictures as files."""
    folder = bench.folder / "files"
    folder.mkdir(exist_ok=True)
    files = [folder / f"{k}.png" for k in range(count)]
    for k, file in enumerate(files):
        file.write_bytes(bench.pictures.png(k))
    return files


def _on(device: torch.device, minibatches: Sequence[Minibatch]) -> list[Minibatch]:
    return [tuple(tensor.to(device) for tensor in minibatch) for minibatch in minibatches]


def _bare(model: nn.Module, minibatches: Sequence[Minibatch], recipe: Recipe, device: torch.device) -> float:
    """Forward pass, backward pass and step of the same optimiser over what is on the device already; returns the last loss."""
    model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        model.parameters(), RATE, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True, fused=True
    )
    loss = torch.zeros(())
    for images, targets in recipe.epochs * list(minibatches):
        optimizer.zero_grad()
        with devices.autocast(device):
            loss = F.cross_entropy(model(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())


def in_turns(*works: Callable[[], object]) -> list[list[float]]:
    """Seconds of each piece of work, ``REPEATS`` times in turns, after each was done once."""
    for work in works:
        work()
    return [list(each) for each in zip(*([seconds_of(work) for work in works] for _ in range(REPEATS)), strict=True)]


def _share_line(what: str, count: int, recipe: Recipe, ours: list[float], bare: list[float], of: str) -> Line:
    images = count * recipe.epochs
    speeds = f"{images / median(ours):,.0f} against {images / median(bare):,.0f} images/s"
    note = f"{speeds}, {of}, minibatches of {recipe.minibatch_size}, n = {images:,}"
    share = 100 * by(bare, ours)
    return Line(f"{what} at {SIDE} px, share of the bare forward and backward pass's speed", share, "%", note=note)


def _times_line(what: str, images: int, ours: list[float], theirs: list[float], of: str) -> Line:
    seconds = [1000 * median(each) / images for each in (ours, theirs)]
    note = f"{seconds[0]:.2f} s against {seconds[1]:.2f} s per 1,000 images, {of}, n = {images:,}"
    return Line(f"{what} at {SIDE} px, speed against the released way's", by(theirs, ours), "x", note=note)


def by(some: list[float], others: list[float]) -> float:
    """The median of the ratios of what was timed in the same turn."""
    return median(one / other for one, other in zip(some, others, strict=True))
