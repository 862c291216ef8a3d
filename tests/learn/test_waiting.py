"""On a GPU a step of a training is handed over and not waited for, and all that it needs is there.

PyTorch's fake tensors know devices and shapes and hold no numbers: what would ask the GPU for a number, or mix devices, fails
on a machine without one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import COMPANIONS, MAIN_TASKS, PRETEXTS
from pt4al_backend.learn import networks
from pt4al_backend.learn.companions.base import Companion
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.pretext.colorization_classes import bins
from pt4al_backend.learn.tasks.base import MainTask

GPU = torch.device("cuda")
COUNT, CLASSES = 8, ("down", "up")
SHAPES = {"classification": (32, 32), "segmentation": (64, 96)}
#: Of classes that are not equally many, so that weights that balance them are not all 1.
LABELS = np.arange(COUNT) % 4 // 3
SMALL: dict[str, Any] = {"width": 8, "encoder": "resnet18"}
#: Those that train something of their own beside the main task.
BESIDE = [name for name in sorted(COMPANIONS) if COMPANIONS.load(name, Companion).trainable is not Companion.trainable]

Step = Callable[[], object]
on_both_tasks = pytest.mark.parametrize("name", SHAPES)


class Waits(TorchDispatchMode):
    """Notes copies from one device to another that the program waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        devices = {each.device.type for each in tree_leaves((args, kwargs, made)) if isinstance(each, Tensor)}
        is_copy = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        if is_copy and len(devices) > 1 and not (kwargs.get("non_blocking") or args[2:] == (True,)):
            self.seen.append(f"{func} of {tuple(made.shape)}")
        return made


def on_gpu(model: nn.Module) -> None:
    """What ``to`` does, which fake parameters do not allow."""
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for key, tensor in tensors.items():
                if tensor is not None:
                    there = tensor.detach().to(GPU)
                    tensors[key] = nn.Parameter(there) if isinstance(tensor, nn.Parameter) else there


def waits(steps: Callable[[], list[Step]]) -> list[str]:
    bins()  # made from numbers, once for all
    with FakeTensorMode(allow_non_fake_inputs=True):
        prepared = steps()
        with Waits() as seen:
            for step in prepared:
                step()
    return seen.seen


def images(name: str) -> Tensor:
    return torch.zeros((COUNT, 3, *SHAPES[name]), dtype=torch.uint8, device=GPU)


def minibatch(name: str) -> Minibatch:
    numbers = torch.zeros(COUNT, dtype=torch.int64, device=GPU)
    return images(name), numbers if name == "classification" else torch.zeros(
        (COUNT, *SHAPES[name]), dtype=torch.uint8, device=GPU
    )


def made(name: str, weights: str = "balanced") -> MainTask:
    """A main task that has seen its training data."""
    settings, shape = ProjectSettings(class_weights=weights, **SMALL), SHAPES[name]
    task = MAIN_TASKS.load(name, MainTask)(
        networks.build(MAIN_TASKS.load(name, MainTask).form(shape, settings, GPU)), CLASSES, shape, settings
    )
    targets = LABELS if name == "classification" else np.tile(LABELS[:, None, None], (1, *shape)).astype(np.uint8)
    task.training_data(None, np.arange(COUNT), targets)  # type: ignore[arg-type] # from which nothing is read here
    return task


def step_of(trainable: Trainable, name: str) -> Step:
    on_gpu(trainable.model)
    rng = np.random.default_rng(0)
    return lambda: trainable.loss(minibatch(name), rng)


@on_both_tasks
@pytest.mark.parametrize("which", sorted(PRETEXTS))
def test_pretext_learner_never_waits_for_the_gpu(which: str, name: str) -> None:
    def steps() -> list[Step]:
        form = MAIN_TASKS.load(name, MainTask).form(SHAPES[name], ProjectSettings(**SMALL), GPU)
        learner = PRETEXTS.load(which, Pretext)(networks.build(form))

        def step() -> None:
            learner.loss((images(name),), np.random.default_rng(0))
            learner.model.eval()
            learner.scores(images(name))

        on_gpu(learner.model)
        return [step]

    assert waits(steps) == []


@on_both_tasks
@pytest.mark.parametrize("weights", ["balanced", "none"])
def test_main_task_never_waits_for_the_gpu(weights: str, name: str) -> None:
    def steps() -> list[Step]:
        task = made(name, weights)
        return [step_of(task, name), lambda: task.model.eval(), lambda: task.predict_with_features(images(name))]

    assert waits(steps) == []


@on_both_tasks
@pytest.mark.parametrize("which", BESIDE)
def test_companion_beside_a_main_task_never_waits_for_the_gpu(which: str, name: str) -> None:
    assert waits(lambda: [step_of(COMPANIONS.load(which, Companion)(made(name)).trainable(), name)]) == []
