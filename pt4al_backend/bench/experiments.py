"""The experiments of the paper, and one more: which arms, on which data, at which size.

What the paper leaves open, and how the preset ``paper`` has it: the pretext learner's 15 epochs and the main task's optimiser
are the published code's; every round's network starts from fresh weights, in segmentation from ImageNet's, and ends with its last
epoch; rivals draw their first query uniformly, except those that start with the features of PT4AL's pretext learner, TypiClust
among them; an image's segmentation confidence is the mean over its pixels. Ours are also Cityscapes' minibatches of 2 (batch
normalisation cannot take the paper's 1), its schedule and augmentation, Caltech's split, and the 10,000 candidates of a uniform
draw from which rivals with a companion or a graph query, PAL among them. PAL is also a rival in the paper's fig. 5a; here it is
left out of segmentation.
docs/benchmark.md says what stays ours in every preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pt4al_backend.aliases import Json
from pt4al_backend.bench.arms import WHERE, Arm
from pt4al_backend.config import project_settings
from pt4al_backend.config.catalog import NEED_IMAGE_POSTERIORS
from pt4al_backend.errors import ConfigError

RANDOM = Arm("random", {"strategy": "random"})
PAPER_RULE: Json = {"strategy": "pt4al", "first_query": "hardest_batch", "batch_order": "hard_first"}
STRATIFIED: Json = {**PAPER_RULE, "first_query": "stratified"}
PT4AL = Arm("PT4AL", PAPER_RULE)
PT4AL_STRATIFIED = Arm("PT4AL, stratified first", STRATIFIED)


def _rival(strategy: str, **more: Any) -> Arm:
    return Arm(strategy.replace("_", " "), {"strategy": strategy, "first_query": "random", **more})


RIVALS = tuple(
    _rival(name)
    for name in (
        "least_confidence",
        "margin",
        "entropy",
        "core_set",
        "learning_loss",
        "learning_loss_detached",
        "vaal",
        "ta_vaal",
        "core_gcn",
        "uncertain_gcn",
        "pal",
        "badge",
        "typiclust",
        "herding",
        "prob_cover",
        "drop_query",
        "cluster_margin",
        "bait",
        "refine",
    )
)


@dataclass(frozen=True)
class Size:
    """How much of a data set is used: None means all of it, and a query of the live engine's size."""

    query: int | None
    rounds: int
    pool: int | None = None
    test: int | None = None
    settings: Json = field(default_factory=dict)


#: By data set. The paper's, where it says so (section 5.1 and 5.2); of the last three ours.
PUBLISHED = {
    "cifar10": Size(1000, 10),
    "imbalanced-cifar10": Size(1000, 10),
    "caltech101": Size(1000, 8, settings={"image_size": 224}),
    "imagenet67": Size(128_000, 10, settings={"image_size": 224, "epochs": 100}),
    "cityscapes": Size(100, 10, settings={"image_size": 1024, "minibatch_size": 2}),
    "camvid": Size(36, 10, settings={"image_size": 480}),
    "digits": Size(10, 10, settings={"image_size": 64}),
    "folder": Size(100, 10),
}
#: Minutes on two CPU cores for an arm with five seeds, by main task: small images, few labels.
QUICK = {
    "classification": Size(100, 4, pool=5000, test=2000, settings={"image_size": 16, "pretext_epochs": 8, "companion_steps": 60}),
    "segmentation": Size(20, 3, settings={"image_size": 64, "pretext_epochs": 8, "epochs": 25, "companion_steps": 60}),
}


@dataclass(frozen=True)
class Preset:
    """Settings of all arms. ``order`` and ``best_epoch`` are those of arms that say nothing else."""

    about: str
    settings: Json
    order: str = "loss"
    best_epoch: bool = False


_FRESH: Json = {"init": "fresh", "warm_start": False, "sampler": "least_confidence", "pretext_holdout": 0.0}
PRESETS = {
    "honest": Preset("fresh weights, the last epoch, the live engine's recipe for all", _FRESH),
    "paper": Preset("as published: 200 epochs, step schedule, width 64", {**_FRESH, "preset": "paper", "width": 64}),
    "released-code": Preset(
        "what the published code does: losses sorted as text, warm start, the best test epoch, normalised logits",
        {**_FRESH, "preset": "paper", "width": 64, "warm_start": True, "learning_rate": 0.1, "sampler": "normalised_confidence"},
        order="text",
        best_epoch=True,
    ),
    "quick": Preset("honest, on a part of the data: minutes on two CPU cores", _FRESH),
}


#: What the paper has otherwise in segmentation (section 5.2).
PAPERS_SEGMENTATION: Json = {"init": "imagenet"}


@dataclass(frozen=True)
class Experiment:
    """A named comparison.

    Attributes:
        title: what it shows, with its place in the paper.
        dataset: name of the data set, where no other is named.
        arms: in the order in which each seed runs them; tables sort them by name, the baseline first.
        task: main task of the data set.
        seeds: how many, where no number is given.
        rounds: how many are run; None: all of the sweep.
        settings: of all arms, unless --settings has them.
        redraw: whether each seed draws its own pool and test.
    """

    title: str
    dataset: str
    arms: tuple[Arm, ...]
    task: str = "classification"
    seeds: int = 5
    rounds: int | None = None
    settings: Json = field(default_factory=dict)
    redraw: bool = False

    def planned(self, preset: str, dataset: str, changes: Mapping[str, Any]) -> tuple[Size, list[Arm]]:
        """The size, and the arms with all that the preset adds, and ``changes`` of its settings.

        Raises:
            ConfigError: there is no such preset, it does not suit the task, or a setting is not allowed.
        """
        if preset not in PRESETS:
            raise ConfigError(f"There is no preset {preset!r}.", f"There are {', '.join(PRESETS)}.")
        if preset == "released-code" and self.task != "classification":
            raise ConfigError("The published code has no segmentation.", "Choose another preset.")
        size = QUICK[self.task] if preset == "quick" else PUBLISHED[dataset.removesuffix("-jpeg")]
        chosen = PRESETS[preset]
        own = PAPERS_SEGMENTATION if (preset, self.task) == ("paper", "segmentation") else {}
        common = {**chosen.settings, **own, **size.settings, "query_size": size.query, "rounds": size.rounds}
        common |= {**self.settings, **changes}
        checked = project_settings(common, WHERE)
        size = replace(size, query=checked.query_size, rounds=checked.rounds)
        return size, [_planned(arm, common, chosen) for arm in self.arms]


def _planned(arm: Arm, common: Mapping[str, Any], preset: Preset) -> Arm:
    order = preset.order if arm.order == "loss" else arm.order
    return replace(arm.with_settings(common), order=order, best_epoch=arm.best_epoch or preset.best_epoch)


def _first_batches() -> tuple[Arm, ...]:
    """Even intervals of each tenth of the ranking, whatever the number of rounds."""
    return tuple(Arm(f"batch {k} of 10", {"strategy": "pt4al", "first_query": f"batch:{k}", "rounds": 10}) for k in range(1, 11))


COLD_START = (
    RANDOM,
    *_first_batches(),
    Arm("top-K", {"strategy": "pt4al", "first_query": "top_k"}),
    Arm("stratified", {"strategy": "pt4al", "first_query": "stratified"}),
    Arm("typiclust", {"strategy": "typiclust", "first_query": "random"}),
    Arm("released main script", {"strategy": "pt4al", "first_query": "batch:1", "rounds": 10}, order="text"),
    Arm("released cold-start script", {"strategy": "pt4al", "first_query": "batch:6", "rounds": 10}, order="text"),
)

ABLATIONS = (
    RANDOM,
    PT4AL,
    Arm("sampling only", {**PAPER_RULE, "sampler": "entropy", "first_query": "random"}, order="none"),
    Arm("pretext only, high losses", {"strategy": "pt4al", "first_query": "top_k"}, blind=True),
    Arm("pretext only, low losses", {"strategy": "pt4al", "first_query": "top_k"}, order="reversed", blind=True),
    Arm("first query: top-K", {**PAPER_RULE, "first_query": "top_k"}),
    Arm("first query: random in b_1", PAPER_RULE, order="batches"),
    Arm("low losses first", PAPER_RULE, order="reversed"),  # the first query is the easiest batch's as well
    Arm("colorization", {**PAPER_RULE, "pretext": "colorization"}),
    Arm("jigsaw", {**PAPER_RULE, "pretext": "jigsaw"}),
    Arm("simsiam", {**PAPER_RULE, "pretext": "simsiam"}),
    Arm("warm start", {**PAPER_RULE, "warm_start": True}),
)

#: The rules that the product's defaults are chosen from: strategy, first query, batch order, sampler.
RULES = (
    RANDOM,
    _rival("margin"),
    _rival("typiclust"),
    Arm("whole pool, stratified first, margin", {"strategy": "margin", "first_query": "stratified"}),
    *(
        Arm(
            f"{order.replace('_', ' ')}, {sampler.replace('_', ' ')}",
            {"strategy": "pt4al", "first_query": "stratified", "batch_order": order, "sampler": sampler},
        )
        for order in ("hard_first", "easy_first", "interleaved")
        for sampler in ("least_confidence", "margin", "entropy", "k_center")
    ),
)


def _by_weights() -> tuple[Arm, ...]:
    starts: dict[str, tuple[Json, str]] = {
        "fresh": ({"init": "fresh"}, ""),
        "pretext": ({"init": "pretext"}, ""),
        "simsiam": ({"init": "pretext"}, "simsiam"),
        "imagenet": ({"init": "imagenet"}, ""),
    }
    rules = {
        "random": {"strategy": "random"},
        "PT4AL": {**STRATIFIED, "sampler": "margin"},
        "margin": {"strategy": "margin", "first_query": "random"},
        "typiclust": {"strategy": "typiclust", "first_query": "random"},
    }
    return tuple(
        Arm("random" if (rule, start) == ("random", "fresh") else f"{rule}, {start}", {**settings, **weights}, weights=task)
        for start, (weights, task) in starts.items()
        for rule, settings in rules.items()
    )


HERDING: Json = {"strategy": "pt4al", "first_query": "herding", "sampler": "herding", "batch_order": "interleaved"}
#: Of the encoder whose weights the extra ``encoder`` installs.
ENCODER = "tf_efficientnet_lite0.in1k"


#: Those that need no network beside the model.
FEATURE_RIVALS = {
    "margin",
    "entropy",
    "core set",
    "badge",
    "typiclust",
    "herding",
    "prob cover",
    "cluster margin",
    "bait",
    "drop query",
    "refine",
}
#: On frozen features. PT4AL as published, and with herding first and inside batches, by their number and their order.
ON_FEATURES = (
    RANDOM,
    *(arm for arm in RIVALS if arm.name in FEATURE_RIVALS),
    Arm("PT4AL as published", {**PAPER_RULE, "sampler": "least_confidence", "batches": 10}),
    *(Arm(f"PT4AL, {batches} batches, herding", {**HERDING, "batches": batches}) for batches in (2, 3, 5, 10)),
    Arm("PT4AL, 3 batches, hardest first", {**HERDING, "batches": 3, "batch_order": "hard_first"}),
)
#: Under a segmenter, by the same random labels: from fresh weights, from pretrained ones, from those of a pretext learner that
#: started from these, and with the encoder as it came.
UNDER_A_SEGMENTER = (
    Arm("random", {"strategy": "random", "init": "fresh", "tuning": "full"}),
    Arm("pretrained", {"strategy": "random", "init": "auto", "tuning": "full"}),
    Arm("pretrained, then pretext", {"strategy": "random", "init": "pretext", "tuning": "full"}),
    Arm("pretrained, frozen", {"strategy": "random", "init": "auto", "tuning": "head"}),
)


EXPERIMENTS = {
    "main": Experiment("All strategies (fig. 3)", "cifar10", (RANDOM, PT4AL, PT4AL_STRATIFIED, *RIVALS)),
    "cold-start": Experiment("The first query (table 1)", "cifar10", COLD_START, seeds=20, rounds=1),
    "imbalanced": Experiment(
        "Unequal classes (fig. 5b)", "imbalanced-cifar10", (RANDOM, PT4AL, PT4AL_STRATIFIED, *RIVALS), seeds=3
    ),
    "segmentation": Experiment(
        "Segmentation (fig. 5a)",
        "cityscapes",
        (
            RANDOM,
            Arm("PT4AL, colorization", {**PAPER_RULE, "pretext": "colorization"}),
            Arm("PT4AL, rotation", {**PAPER_RULE, "pretext": "rotation"}),
            *(arm for arm in RIVALS if arm.settings["strategy"] not in NEED_IMAGE_POSTERIORS),
        ),
        task="segmentation",
        seeds=3,
    ),
    "wall-clock": Experiment("Time of each strategy, by its parts (table 2)", "cifar10", (RANDOM, PT4AL, *RIVALS), seeds=1),
    "ablations": Experiment("What PT4AL is made of (fig. 6, section 6.3)", "cifar10", ABLATIONS, seeds=3),
    "rules": Experiment("Strategy, first query, batch order and sampler: the product's defaults", "cifar10", RULES),
    "features": Experiment(
        "Rules on the features of a pretrained encoder (not in the paper)",
        "caltech101",
        ON_FEATURES,
        seeds=10,
        settings={"encoder": ENCODER},
        redraw=True,
    ),
    "encoders": Experiment(
        "A segmenter's encoder: fresh, pretrained or frozen (not in the paper)",
        "camvid",
        UNDER_A_SEGMENTER,
        task="segmentation",
        seeds=3,
        settings={"encoder": ENCODER},
    ),
    "initial-weights": Experiment("Initial weights crossed with query rules (not in the paper)", "cifar10", _by_weights()),
}
