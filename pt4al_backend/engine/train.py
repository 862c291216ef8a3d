"""Steps 3 and 6 of the engine: the pretext learner that ranks the pool, and the model that each round trains.

Every training is a job in a folder of its own (see ``jobs.folder``). A folder that is already there is resumed, so a restart
loses what came after its last checkpoint; its result is taken over in steps that can be repeated. New labels and new images wait
for the next training; a job is prepared again if settings have changed that affect what it makes (see ``jobs.spec``).
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.config import Affects, ProjectSettings, ServerSettings
from pt4al_backend.engine.query import Rounds
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import job_of, prepare
from pt4al_backend.jobs.results import read_scored
from pt4al_backend.jobs.runner import OnProgress, OnTick, Runner
from pt4al_backend.jobs.spec import JobSpec, LearnSpec, RankSpec
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.query import plan
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.query.ranking import insert, sweep
from pt4al_backend.state.paths import mask_dir, pixel_path, project_dir
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import Ranking, StoredAnswer, Tasks

log = logging.getLogger(__name__)

GROWTH = 1.2  # of the pool since the pretext learner was trained, before it is trained again
KEPT_MODELS = 3

Ids = NDArray[np.int64]
Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class LabelSplit:
    """What annotators said so far, by task id.

    Attributes:
        train, control: labels that train the model, and those of control picks, which measure it.
        unusable: why a label does not fit its image.
        lost: tasks of whose label a part is gone from the disk.
    """

    train: dict[int, str]
    control: dict[int, str]
    unusable: dict[int, str]
    lost: list[int]


def split_labels(
    tasks: Tasks, answers: Mapping[int, StoredAnswer], controls: Ids, reader: LabelReader, *, train_on_accepted: bool
) -> LabelSplit:
    """Splits the labels of fetched images; control picks are never trained on, nor are accepted predictions unless wanted."""
    labelled = tasks.where(tasks.labelled)
    sizes = dict(zip(labelled.ids.tolist(), map(tuple, labelled.sizes.tolist()), strict=True))
    measures = set(controls.tolist())
    split = LabelSplit({}, {}, {}, [])
    for task_id, answer in sorted(answers.items()):
        if task_id not in sizes:
            continue
        if not reader.holds(answer.label):
            split.lost.append(task_id)
        elif problem := reader.unusable_reason(answer.label, sizes[task_id]):
            split.unusable[task_id] = problem
        elif task_id in measures:
            split.control[task_id] = answer.label
        elif train_on_accepted or not answer.accepted:
            split.train[task_id] = answer.label
    return split


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


class Trainer:
    """Trains and scores for one project; ``runner`` is where its jobs run."""

    def __init__(
        self,
        store: Store,
        settings: ServerSettings,
        project: Project,
        options: ProjectSettings,
        labelling: LabelReader,
        runner: Runner,
    ) -> None:
        self._store = store
        self._settings = settings
        self._project = project
        self._options = options
        self._labelling = labelling
        self._runner = runner
        self._classes = labelling.classes(options)
        self._folder = project_dir(settings, project.id)

    # the pretext learner

    def outgrown(self) -> bool:
        """Whether the pretext learner should be trained again: the pool has grown, or other settings ask for another one.

        Not before a round's training that is under way has ended: it started from the learner that there is. One that failed
        starts over from the new learner.
        """
        learner = self._learner()
        if learner is None or (self._under_way() is not None and not self._has_failed()):
            return False
        return len(self._fetched()) > GROWTH * self._project.learner_pool or self._is_another(learner)

    def _is_another(self, learner: Path) -> bool:
        if not artefacts.is_complete(learner):
            return False  # ``rank`` trains another one
        trained_with = ProjectSettings.stored(artefacts.manifest(learner)["settings"])
        return not trained_with.same_for(self._options, Affects.RANKING)

    def is_unranked(self) -> bool:
        """Whether fetched images wait for a pretext loss."""
        return bool(np.isnan(self._fetched().losses).any())

    def rank(self, rounds: Rounds, on_progress: OnProgress, on_tick: OnTick, *, from_scratch: bool = False) -> None:
        """Trains the pretext learner if there is none, or ``from_scratch``; else scores late arrivals and gives them a batch."""
        learner = self._learner()
        folder = self._folder / f"rank-{_number(learner.parent) + 1 if learner else 1}"
        if folder.exists() and not self._is_current(job_of(folder)):
            shutil.rmtree(folder)
        if from_scratch or folder.exists() or not artefacts.is_complete(learner):
            self._train_learner(folder, rounds, on_progress, on_tick)
        if self.is_unranked():
            self._score_arrivals(on_progress, on_tick)

    def _train_learner(self, folder: Path, rounds: Rounds, on_progress: OnProgress, on_tick: OnTick) -> None:
        if job_of(folder) is None:
            tasks = self._fetched()
            prepare(folder, self._rank_spec(), rows=tasks.rows, ids=tasks.ids)
        result = self._runner.run(folder, on_progress, on_tick)
        ids = np.load(folder / "ids.npy")
        self._adopt(result, ids, rounds)
        self._forget_old_learners()

    def _adopt(self, result: Path, ids: Ids, rounds: Rounds) -> None:
        losses, quality = np.load(result / "losses.npy"), artefacts.manifest(result)["quality"]
        pool = rounds.pool()
        order = np.argsort(ids)
        known = np.isin(pool.ids, ids)
        pool.losses[known] = losses[order][np.searchsorted(ids, pool.ids[known], sorter=order)]
        meaningful = bool(quality.get("meaningful", False))
        batch_ids, batches = rounds.batches(pool, max(self._project.round, 1), meaningful, from_scratch=True)
        learner = str(result.relative_to(self._settings.data_dir))
        self._store.adopt_ranking(self._project, Ranking(ids, losses, batch_ids, batches, learner, quality))

    def _forget_old_learners(self) -> None:
        """A job of a round that was cut short is resumed from the learner that it names."""
        jobs = filter(None, map(job_of, self._folder.glob("learn-*")))
        named = {job.learner.parent.name for job in jobs if job.learner}
        now = Path(self._project.learner).parent
        for folder in self._folder.glob("rank-*"):
            if now.name and _number(folder) < _number(now) and folder.name not in named:
                shutil.rmtree(folder)

    def _score_arrivals(self, on_progress: OnProgress, on_tick: OnTick) -> None:
        folder = self._folder / "score"
        shutil.rmtree(folder, ignore_errors=True)  # quick to repeat, and more may have arrived
        tasks = self._fetched()
        late = tasks.where(np.isnan(tasks.losses))
        prepare(folder, self._rank_spec(self._learner()), rows=late.rows)
        losses = np.load(self._runner.run(folder, on_progress, on_tick) / "losses.npy")
        ranked = tasks.where(np.isfinite(tasks.losses) & (tasks.batches > 0))
        last = int(ranked.batches.max()) if len(ranked) else 1
        still_open = sweep(last, self._options.batch_order)[self._project.round % last :]
        batches = insert(losses, ranked.losses, ranked.batches, int(still_open.min()), int(still_open.max()))
        self._store.set_tasks(self._project.id, {"id": late.ids, "loss": losses, "batch": batches})
        shutil.rmtree(folder)

    # the model of a round

    def take_labels(self) -> LabelSplit:
        """The labels that there are; those that cannot be used are set aside, those that are gone are read again."""
        answers = self._store.answers(self._project.id)
        controls = self._store.control_ids(self._project.id)
        accepted = self._options.train_on_accepted
        split = split_labels(self._fetched(), answers, controls, self._labelling, train_on_accepted=accepted)
        notes = list(split.unusable.values())
        skipped = [AnswerKind.SKIP] * len(notes)
        self._store.set_tasks(self._project.id, {"id": list(split.unusable), "answer": skipped, "note": notes})
        if split.lost:
            log.warning("Project %s: %s labels are gone from the disk and are read again.", self._project.id, len(split.lost))
            self._store.change(self._project, full_sync_at=0.0)
        return split

    def digest(self, labels: LabelSplit) -> str:
        """Of what a model would learn from labels: equal if nothing is new."""
        text = f"{self._options.model_dump_json()}{sorted(labels.train.items())}{self._classes}"
        return hashlib.sha256(text.encode()).hexdigest()

    def missing_for_training(self, labels: LabelSplit) -> str:
        """What is missing before a model can be trained, "" if nothing is."""
        return self._labelling.missing_for_training(labels.train.values(), self._options, self._project.image_shape or (1, 1))

    def train(self, candidates: Callable[[], Ids], on_progress: OnProgress, on_tick: OnTick) -> tuple[StoredOutput, ClosedRound]:
        """Trains this round's model on the labels there are; returns what it scored, and what closes the round.

        Raises:
            TrainingImpossible: the child said why.
        """
        labels = self.take_labels()
        folder = self._training_folder()
        job = self._under_way()
        given = (self.digest(labels), self._learner())
        if job is not None and self._has_failed() and (job.digest, job.learner) != given:
            job = None  # it failed on other labels, or from another learner; one that was cut short keeps what it had
        if job is None:
            job = self._prepare(folder, labels, candidates())
        try:
            result = self._runner.run(folder, on_progress, on_tick)
        except TrainingImpossible:
            (folder / "failed").touch()
            raise
        manifest = artefacts.manifest(result)
        closed = ClosedRound(
            model=str(result.relative_to(self._settings.data_dir)),
            labels=int(manifest["train_size"]),
            digest=job.digest,
            control=manifest["control"],
            seconds=manifest["seconds"],
        )
        return read_scored(folder), closed

    def _prepare(self, folder: Path, labels: LabelSplit, candidates: Ids) -> LearnSpec:
        tasks = self._fetched()
        row_of = dict(zip(tasks.ids.tolist(), tasks.rows.tolist(), strict=True))

        def training_data(chosen: dict[int, str]) -> dict[str, NDArray[Any]]:
            rows = np.array([row_of[task_id] for task_id in chosen], np.int64)
            return {"rows": rows, "labels": np.array(list(chosen.values()), np.str_)}

        previous = self._settings.data_dir / self._project.model if self._project.model else None
        job = self._learn_spec(self._learner()).model_copy(update={"previous": previous, "digest": self.digest(labels)})
        prepare(
            folder,
            job,
            train=training_data(labels.train),
            control=training_data(labels.control),
            candidates=np.array([row_of[i] for i in candidates.tolist()], np.int64),
            candidate_ids=candidates,
        )
        return job

    def forget_old_models(self) -> None:
        """Deletes the folders of models that are no longer served, and what was kept of labels that were replaced.

        Called when no training is under way: a job names the labels that it was written with.
        """
        self._labelling.keep_only(answer.label for answer in self._store.answers(self._project.id).values())
        folders = sorted(self._folder.glob("learn-*"), key=_number)
        for folder in folders[:-KEPT_MODELS]:
            if folder / "result" != self._settings.data_dir / self._project.model:
                shutil.rmtree(folder)
        self._forget_old_learners()

    # shared

    def _fetched(self) -> Tasks:
        tasks = self._store.tasks(self._project.id)
        return tasks.where((tasks.rows >= 0) & ~tasks.aside)

    def _learner(self) -> Path | None:
        return self._settings.data_dir / self._project.learner if self._project.learner else None

    def _training_folder(self) -> Path:
        return self._folder / f"learn-{self._project.round}"

    def _under_way(self) -> LearnSpec | None:
        """The job of this round's training, if one was prepared and its result is asked for."""
        job = job_of(self._training_folder())
        return job if isinstance(job, LearnSpec) and self._is_current(job) else None

    def _has_failed(self) -> bool:
        """Whether this round's training said that it is impossible, when it was last tried."""
        return (self._training_folder() / "failed").exists()

    def _is_current(self, job: JobSpec | None) -> bool:
        """Whether a job still does what one prepared now would do."""
        if job is None:
            return False
        return job.is_current(self._learn_spec() if isinstance(job, LearnSpec) else self._rank_spec())

    def _rank_spec(self, learner: Path | None = None) -> RankSpec:
        """Scores with ``learner``, or else trains one."""
        features = learner is None and "pretext_features" in plan.needs_of(self._options)
        return RankSpec(**self._common(), learner=learner, wants=("features",) if features else ())

    def _learn_spec(self, learner: Path | None = None) -> LearnSpec:
        query = plan.schedule(len(self._fetched()), self._options).query
        needed = plan.job_requirements(self._options, query)
        return LearnSpec(**self._common(), learner=learner, classes=self._classes, **asdict(needed))

    def _common(self) -> Json:
        """What both kinds of job say."""
        return {
            "project": self._project.id,
            "task": self._labelling.task,
            "settings": self._options,
            "device": self._settings.device,
            "pretrained": self._settings.pretrained,
            "frames": pixel_path(self._settings, self._project),
            "stored": self._project.stored_shape,
            "shape": self._project.image_shape,
            "masks": mask_dir(self._settings, self._project.id),
        }
