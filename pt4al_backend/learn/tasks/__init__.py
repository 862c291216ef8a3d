"""Main tasks, one file each: what the annotators' labels teach.

The registry names classes without importing them, so that a process that only looks up a task stays free of torch.
"""

from typing import TYPE_CHECKING, cast

from pt4al_backend.config.registry import imported

if TYPE_CHECKING:
    from pt4al_backend.learn.tasks.base import MainTask

#: Name of each main task -> "module:class".
TASKS: dict[str, str] = {
    "classification": "pt4al_backend.learn.tasks.classification:Classification",
    "segmentation": "pt4al_backend.learn.tasks.segmentation:Segmentation",
}

#: The pretext task that ranks the pool of each main task where the setting ``pretext`` names none: the paper's.
PRETEXT: dict[str, str] = {"classification": "rotation", "segmentation": "colorization"}

#: What the models of each main task are measured by.
METRICS: dict[str, str] = {"classification": "accuracy", "segmentation": "mIoU"}

#: Main tasks whose models give an image one posterior for each class.
POSTERIORS = frozenset({"classification"})


def load(name: str) -> "type[MainTask]":
    """Imports a main task's class, and torch with it.

    Raises:
        KeyError: no such task.
    """
    return cast("type[MainTask]", imported(TASKS[name]))
