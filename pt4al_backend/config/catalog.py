"""The names that settings may use, and the facts about them that need no torch.

A catalog names classes without importing them, so that a process that only checks a setting, or prints a list, stays free of
what the class needs. To add a strategy, a pretext task or a data set, write one file and add one line here; the contract
tests then cover it.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pt4al_backend.errors import ConfigError

T = TypeVar("T")


class Catalog(Mapping[str, str]):
    """The classes of one kind: name -> "module:Class", the module below ``package``."""

    def __init__(self, kind: str, package: str, places: Mapping[str, str]) -> None:
        self.kind = kind
        self._package = package
        self._places = dict(places)

    def __getitem__(self, name: str) -> str:
        return self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def load(self, name: str, base: type[T]) -> type[T]:
        """Imports the class of that name, a subclass of ``base``.

        Raises:
            ConfigError: there is none.
        """
        if name not in self._places:
            raise ConfigError(f"There is no {self.kind} {name!r}.", f"Use one of {', '.join(self._places)}.")
        module, _, attribute = self._places[name].partition(":")
        found: type[T] = getattr(importlib.import_module(f"{self._package}.{module}"), attribute)
        if not issubclass(found, base):
            raise TypeError(f"{self.kind} {name!r} is no {base.__name__}")
        return found


STRATEGIES = Catalog(
    "strategy",
    "pt4al_backend.query.strategies",
    {
        "pt4al": "pt4al:PT4AL",
        "random": "random:Random",
        "least_confidence": "least_confidence:LeastConfidence",
        "margin": "margin:Margin",
        "entropy": "entropy:Entropy",
        "core_set": "core_set:CoreSet",
        "badge": "badge:Badge",
        "typiclust": "typiclust:TypiClust",
        "core_gcn": "core_gcn:CoreGCN",
        "uncertain_gcn": "uncertain_gcn:UncertainGCN",
        "learning_loss": "learning_loss:LearningLoss",
        "learning_loss_detached": "learning_loss_detached:LearningLossDetached",
        "vaal": "vaal:Vaal",
        "ta_vaal": "ta_vaal:TaVaal",
        "pal": "pal:Pal",
    },
)

PRETEXTS = Catalog(
    "pretext task",
    "pt4al_backend.learn.pretext",
    {
        "rotation": "rotation:Rotation",
        "colorization": "colorization:Colorization",
        "colorization_classes": "colorization_classes:ColorizationClasses",
        "jigsaw": "jigsaw:Jigsaw",
        "simsiam": "simsiam:SimSiam",
    },
)

MAIN_TASKS = Catalog(
    "main task",
    "pt4al_backend.learn.tasks",
    {"classification": "classification:Classification", "segmentation": "segmentation:Segmentation"},
)

#: "" is what a strategy has that needs none.
COMPANIONS = Catalog(
    "companion",
    "pt4al_backend.learn.companions",
    {
        "": "base:Companion",
        "learning_loss": "learning_loss:LearningLoss",
        "learning_loss_detached": "learning_loss:LearningLossDetached",
        "normalised_confidence": "normalised_confidence:NormalisedConfidence",
        "pal": "pal:Pal",
        "ta_vaal": "ta_vaal:TaVaal",
        "vaal": "vaal:Vaal",
    },
)

DATASETS = Catalog(
    "data set",
    "pt4al_backend.datasets",
    {
        "folder": "folder:Folder",
        "cifar10": "cifar10:Cifar10",
        "cifar10-jpeg": "cifar10_jpeg:Cifar10Jpeg",
        "imbalanced-cifar10": "imbalanced:ImbalancedCifar10",
        "imbalanced-cifar10-jpeg": "imbalanced:ImbalancedCifar10Jpeg",
        "caltech101": "caltech101:Caltech101",
        "imagenet67": "imagenet67:ImageNet67",
        "cityscapes": "cityscapes:Cityscapes",
        "camvid": "camvid:CamVid",
    },
)


@dataclass(frozen=True)
class MainTaskFacts:
    """What can be said of a main task without importing it.

    ``metric`` is what its models are measured by; ``pretext`` ranks the pool where the setting of that name is empty (the
    paper's choice); ``image_posteriors`` says whether its models give an image one posterior for each class.
    """

    metric: str
    pretext: str
    image_posteriors: bool


MAIN_TASK_FACTS = {
    "classification": MainTaskFacts("accuracy", "rotation", image_posteriors=True),
    "segmentation": MainTaskFacts("mIoU", "colorization", image_posteriors=False),
}
