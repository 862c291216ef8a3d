"""The names that settings may use, and the facts about them that need no torch.

A catalog names classes without importing them, so that a process that only checks a setting, or prints a list, stays free of
what the class needs. To add a strategy, a pretext task or a data set, write one file and add one line here; the contract
tests then cover it, and ``pt4al list`` prints it.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeVar

from pt4al_backend.errors import ConfigError

T = TypeVar("T")


class Entry(NamedTuple):
    """Where a class is, "module:Class", and a line that says what it is."""

    place: str
    summary: str = ""


class Catalog(Mapping[str, Entry]):
    """The classes of one kind by the names that settings use; their modules are below ``package``."""

    def __init__(self, kind: str, package: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._package = package
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str, base: type[T]) -> type[T]:
        """Imports the class of that name, a subclass of ``base``.

        Raises:
            ConfigError: there is none.
        """
        if name not in self._entries:
            raise ConfigError(f"There is no {self.kind} {name!r}.", f"Use one of {', '.join(self._entries)}.")
        module, _, attribute = self._entries[name].place.partition(":")
        found: type[T] = getattr(importlib.import_module(f"{self._package}.{module}"), attribute)
        if not issubclass(found, base):
            raise TypeError(f"{self.kind} {name!r} is no {base.__name__}")
        return found


STRATEGIES = Catalog(
    "strategy",
    "pt4al_backend.query.strategies",
    {
        "pt4al": Entry("pt4al:PT4AL", "PT4AL (ECCV 2022): batch by batch of the ranking, where the model is least sure."),
        "random": Entry("random:Random", "Uniform over the pool, the baseline."),
        "least_confidence": Entry("uncertainty:Uncertainty", "Lowest top posterior of the whole pool (Lewis and Gale, 1994)."),
        "margin": Entry("uncertainty:Uncertainty", "The two likeliest classes are closest (Scheffer et al., 2001)."),
        "entropy": Entry("uncertainty:Uncertainty", "Highest entropy of the posterior (Settles, 2009)."),
        "core_set": Entry("core_set:CoreSet", "Leaves no image far from a labelled one (Sener and Savarese, ICLR 2018)."),
        "badge": Entry("badge:Badge", "Large gradients in different directions (Ash et al., ICLR 2020)."),
        "typiclust": Entry("typiclust:TypiClust", "Most typical image of each unlabelled cluster, for few labels (ICML 2022)."),
        "herding": Entry("herding:Herding", "Covers what the model is unsure of (Bae et al., ECCV 2024 and ICLR 2025)."),
        "prob_cover": Entry("prob_cover:ProbCover", "Most others near it that nothing labelled is near to (NeurIPS 2022)."),
        "drop_query": Entry(
            "drop_query:DropQuery", "One of each kind that changes its class under dropout (Gupta et al., TMLR 2024)."
        ),
        "cluster_margin": Entry(
            "cluster_margin:ClusterMargin", "One of each kind of the unsure (Citovsky et al., NeurIPS 2021)."
        ),
        "bait": Entry("bait:Bait", "Tells a linear head most about all tasks (Ash et al., NeurIPS 2021, binary information)."),
        "refine": Entry("refine:Refine", "Covers what several rules leave of the pool, in turn (Huseljic et al., CVPR 2026)."),
        "core_gcn": Entry("learned:Learned", "Core-set on a graph network's hidden features (Caramalau et al., CVPR 2021)."),
        "uncertain_gcn": Entry("learned:Learned", "Least like the labelled, by a graph network (Caramalau et al., CVPR 2021)."),
        "learning_loss": Entry("learned:Learned", "Largest predicted loss, by a module of the model (Yoo and Kweon, CVPR 2019)."),
        "learning_loss_detached": Entry("learned:Learned", "The same by a module that leaves the model alone."),
        "vaal": Entry("learned:Learned", "Least like the labelled, by an adversarial autoencoder (Sinha et al., ICCV 2019)."),
        "ta_vaal": Entry("learned:Learned", "VAAL that also knows the predicted loss (Kim et al., CVPR 2021)."),
        "pal": Entry("learned:Learned", "Hardest orientation and class, by a second network (Bhatnagar et al., BMVC 2021)."),
    },
)

PRETEXTS = Catalog(
    "pretext task",
    "pt4al_backend.learn.pretext",
    {
        "rotation": Entry("rotation:Rotation", "Which of four orientations is this? (Gidaris et al., 2018)"),
        "colorization": Entry(
            "colorization:Colorization", "Which colours does this grey image have? (Zhang et al., 2016, light form)"
        ),
        "colorization_classes": Entry("colorization_classes:ColorizationClasses", "The same, as one of 313 colour bins."),
        "jigsaw": Entry("jigsaw:Jigsaw", "In which of 30 arrangements do nine tiles lie? (Noroozi and Favaro, 2016)"),
        "simsiam": Entry("simsiam:SimSiam", "Are two views of one image alike? (Chen and He, 2021)"),
    },
)

#: What PT4AL queries first inside a batch: where the model is unsure by one of the confidences, or what covers the batch best.
BATCH_SAMPLERS = ("least_confidence", "margin", "entropy", "k_center", "herding", "normalised_confidence")

#: The strategies and samplers that need posteriors of images that sum to one (see ``MainTaskFacts.gives``).
NEED_IMAGE_POSTERIORS = frozenset({"badge", "drop_query", "pal", "normalised_confidence"})

#: The orders in which PT4AL queries the batches (see ``query.ranking.sweep``).
BATCH_ORDERS = ("hard_first", "easy_first", "interleaved")

#: The rules of a first query (see ``query.strategies.first_query``); beside these there is ``batch:N``.
FIRST_QUERIES = ("stratified", "hardest_batch", "top_k", "herding", "random")


class TaskName(StrEnum):
    """Names of the main tasks."""

    CLASSIFICATION = "classification"
    MULTILABEL = "multilabel"
    SEGMENTATION = "segmentation"


MAIN_TASKS = Catalog(
    "main task",
    "pt4al_backend.learn.tasks",
    {
        TaskName.CLASSIFICATION: Entry("classification:Classification", "One class for each image."),
        TaskName.MULTILABEL: Entry("multilabel:Multilabel", "Any number of classes for each image."),
        TaskName.SEGMENTATION: Entry("segmentation:Segmentation", "A class for each pixel."),
    },
)

#: What labels are to a model, of the main tasks that a head on frozen features can learn.
LABEL_SPACES = Catalog(
    "label space",
    "pt4al_backend.learn.labels",
    {
        TaskName.CLASSIFICATION: Entry("class_labels:ClassLabels"),
        TaskName.MULTILABEL: Entry("set_labels:SetLabels"),
    },
)

#: "" is what a strategy has that needs none.
COMPANIONS = Catalog(
    "companion",
    "pt4al_backend.learn.companions",
    {
        "": Entry("base:Companion"),
        "core_gcn": Entry("graph:CoreGCN"),
        "learning_loss": Entry("learning_loss:LearningLoss"),
        "learning_loss_detached": Entry("learning_loss:LearningLossDetached"),
        "normalised_confidence": Entry("normalised_confidence:NormalisedConfidence"),
        "pal": Entry("pal:Pal"),
        "ta_vaal": Entry("ta_vaal:TaVaal"),
        "uncertain_gcn": Entry("graph:UncertainGCN"),
        "vaal": Entry("vaal:Vaal"),
    },
)

DATASETS = Catalog(
    "data set",
    "pt4al_backend.datasets",
    {
        "folder": Entry("folder:Folder"),
        "cifar10": Entry("cifar10:Cifar10"),
        "cifar10-jpeg": Entry("cifar10_jpeg:Cifar10Jpeg"),
        "imbalanced-cifar10": Entry("imbalanced:ImbalancedCifar10"),
        "imbalanced-cifar10-jpeg": Entry("imbalanced:ImbalancedCifar10Jpeg"),
        "caltech101": Entry("caltech101:Caltech101"),
        "digits": Entry("digits:Digits"),
        "imagenet67": Entry("imagenet67:ImageNet67"),
        "cityscapes": Entry("cityscapes:Cityscapes"),
        "camvid": Entry("camvid:CamVid"),
        "shapes": Entry("drawn_shapes:DrawnShapes"),
    },
)


#: Encoders of the segmenter that are torchvision's. Any other name of the setting ``encoder`` is timm's.
SEGMENTER_ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2")


#: Pretrained encoders worth a try, small ones first; all under licences that allow commercial use.
ENCODERS = (
    "tf_efficientnet_lite0.in1k",
    "mobilenetv3_large_100.ra4_e3600_r224_in1k",
    "resnet18.a1_in1k",
    "convnext_nano.in12k_ft_in1k",
    "vit_small_patch14_dinov2.lvd142m",
)
#: Those that the setting ``auto`` looks for, in this order, by whether there is a GPU. Vision transformers are left to those who
#: ask for them: they take images of some sizes alone.
AUTO_ENCODERS = {
    False: ("tf_efficientnet_lite0.in1k", "mobilenetv3_large_100.ra4_e3600_r224_in1k", "convnext_nano.in12k_ft_in1k"),
    True: ("convnext_nano.in12k_ft_in1k", "tf_efficientnet_lite0.in1k", "mobilenetv3_large_100.ra4_e3600_r224_in1k"),
}
#: A project's where none of them was found, and where the download that failed is tried again.
NO_ENCODER, NO_ENCODER_YET = "none", "none yet"


@dataclass(frozen=True)
class MainTaskFacts:
    """What is known of a main task without importing it.

    Attributes:
        noun: what it is called in sentences.
        metric: what its models are measured by.
        pretext: what ranks the pool where the setting of that name is empty (the paper's choice).
        gives: what its models give in place of one distribution over the classes for each image; "" if they give that.
    """

    noun: str
    metric: str
    pretext: str
    gives: str = ""


MAIN_TASK_FACTS: Mapping[str, MainTaskFacts] = {
    TaskName.CLASSIFICATION: MainTaskFacts("classification", "accuracy", "rotation"),
    TaskName.MULTILABEL: MainTaskFacts(
        "multi-label classification", "mAP", "rotation", gives="a probability of each class by itself"
    ),
    TaskName.SEGMENTATION: MainTaskFacts("segmentation", "mIoU", "colorization", gives="posteriors of pixels"),
}
