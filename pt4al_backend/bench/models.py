"""The models of a run, one for each round: trained as the live engine trains them, and kept for the next query.

A training of a whole network is a job in a folder of its own, which resumes from its last checkpoint. One that is to end with its
best epoch has none, and is not stopped by its report. A head on a frozen encoder is trained in this process, within a second,
from features that all runs share (see ``features``), and leaves no files: where a run is resumed it is made again.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.aliases import Ids, Json
from pt4al_backend.bench import features, job_folders
from pt4al_backend.bench.arms import Arm
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import LABEL_SPACES
from pt4al_backend.errors import ConfigError, StoreCorrupt
from pt4al_backend.jobs.folder import result_of
from pt4al_backend.jobs.results import read_scored
from pt4al_backend.jobs.spec import LearnSpec
from pt4al_backend.learn import devices
from pt4al_backend.learn.evaluation import Evaluation, sampler_of
from pt4al_backend.learn.frozen.tuning import tune
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.learn.weights.initial import Source
from pt4al_backend.progress import Report, silent
from pt4al_backend.query import plan
from pt4al_backend.query.plan import StoredOutput


class Models(ABC):
    """Trains the model of each round, and has what it gave."""

    @abstractmethod
    def learn(self, number: int, labelled: Ids, candidates: Ids, report: Report, *, is_last: bool) -> Json:
        """What is known of round ``number``'s model of these labelled rows, which scores rows of ``candidates``.

        Raises:
            TooFewClasses: there is none, as the labels are of one class.
            ConfigError: it would not be what the settings say.
        """

    @abstractmethod
    def output(self, number: int) -> StoredOutput | None:
        """What the model of a round gave for its candidates; None if there is none."""

    @abstractmethod
    def require(self, records: list[Json]) -> None:
        """Refuses to resume after these rounds where their models would have to be there, and are not."""


def models_of(
    folder: Path, truth: Truth, options: ProjectSettings, arm: Arm, query: int, learner: Path | None, device: str
) -> Models:
    """Those that a run's settings ask for; ``learner`` is the pretext learner's artefact, if trainings start from it."""
    if plan.on_features(options, truth.task):
        return Heads(truth, options, query, device)
    return Networks(folder, truth, options, arm, query, learner, device)


class Networks(Models):
    """Whole networks, each in a folder of the run."""

    def __init__(
        self, folder: Path, truth: Truth, options: ProjectSettings, arm: Arm, query: int, learner: Path | None, device: str
    ) -> None:
        self._folder, self._truth, self._options, self._arm = folder, truth, options, arm
        self._query, self._learner, self._device = query, learner, device

    def learn(self, number: int, labelled: Ids, candidates: Ids, report: Report, *, is_last: bool) -> Json:
        folder = self._learned(number)
        train, control = self._truth.training_data(labelled), self._truth.training_data(self._truth.test)
        job = self._job(number, is_last, job_folders.digest(*train.values(), *control.values(), candidates))
        arrays = {"train": train, "control": control, "candidates": candidates, "candidate_ids": candidates}
        job_folders.do(folder, job, silent if self._arm.best_epoch else report, **arrays)
        manifest = artefacts.manifest(folder / "result")
        if self._options.init == "imagenet" and manifest["init"] not in ("imagenet", "previous"):
            what = f"{folder} was trained from {manifest['init']} weights: ImageNet's fit no such network, or are gone."
            raise ConfigError(what, f"Delete it once they are available, or leave out the arm {self._arm.name!r}.")
        return manifest

    def output(self, number: int) -> StoredOutput | None:
        folder = self._learned(number)
        return read_scored(folder) if (folder / "result").exists() else None

    def require(self, records: list[Json]) -> None:
        """Where the last model, which is made again if need be, would start from other weights than it did."""
        for record in records if self._options.warm_start else ():
            folder = self._learned(record["round"])
            if record["value"] is not None and result_of(folder) is None:
                raise StoreCorrupt(f"{folder} is missing or damaged.", f"Delete {self._folder}: the same command runs it again.")

    def _job(self, number: int, is_last: bool, arrays: str) -> LearnSpec:
        """Of a round's training; ``arrays`` is their digest. Whatever another run would train by is in it."""
        before = next(filter(None, (result_of(self._learned(each)) for each in range(number - 1, 0, -1))), None)
        return LearnSpec(
            **job_folders.common(self._truth, self._options, self._device),
            **asdict(plan.job_requirements(self._options, self._query)),
            classes=self._truth.classes,
            learner=self._learner,
            previous=before,
            previous_fingerprint=artefacts.manifest(before)["fingerprint"] if before else None,
            arrays=arrays,
            best_epoch=self._arm.best_epoch,
            is_last=is_last,
        )

    def _learned(self, number: int) -> Path:
        return self._folder / f"learn-{number}"


class Heads(Models):
    """Heads on the features of a frozen encoder; only the last one's output is kept."""

    def __init__(self, truth: Truth, options: ProjectSettings, query: int, device: str) -> None:
        self._truth, self._options, self._device = truth, options, device
        self._kept = frozenset(plan.job_requirements(options, query).outputs)
        self._last: tuple[int, StoredOutput] | None = None

    def learn(self, number: int, labelled: Ids, candidates: Ids, report: Report, *, is_last: bool) -> Json:
        self._last = None
        # the standard is of all images: what an arm happens to score must not change how its labels are learned
        known, standard = features.of(self._truth, self._options, self._device, report)
        space = LABEL_SPACES.load(self._truth.task, ImageLabels)(self._truth.classes)
        labels, test = self._truth.labels, self._truth.test
        truths, targets = (np.asarray(space.targets(labels[rows].tolist(), None, Path())) for rows in (test, labelled))
        evaluation = Evaluation(
            space, known.shape[1], truths, len(test), len(candidates), sampler_of(self._options), Path(), self._kept
        )
        is_balanced = self._options.class_weights == "balanced"
        chosen = known[np.concatenate([test, candidates, labelled])]
        _, seconds = tune(space, chosen, targets, evaluation, standard, balanced=is_balanced, seed=self._options.seed)
        if not is_last:
            confidences, answers, kept = evaluation.outputs()
            self._last = number, StoredOutput(candidates, confidences, answers, **kept)
        return {
            "control": evaluation.control_metrics(),
            "seconds": seconds,
            "init": Source.PRETRAINED,
            "device": devices.choose(self._device).type,
        }

    def require(self, records: list[Json]) -> None:
        """Nothing: no head starts from another."""

    def output(self, number: int) -> StoredOutput | None:
        return self._last[1] if self._last is not None and self._last[0] == number else None
