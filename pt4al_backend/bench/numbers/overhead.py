"""What PT4AL costs over random picks at the default settings: pretext training, scoring and querying.

Random picks train a model in every round as well; that is the run that the extra cost is set against. The paper's table
of wall clocks (CIFAR-10, one GPU) has 136 minutes for random picks and 216 for PT4AL: 59 %.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.bench.numbers.life import CONFIG
from pt4al_backend.bench.numbers.pictures import CLASSES, Pictures
from pt4al_backend.bench.numbers.stopwatch import seconds_of
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import ServerSettings, project_settings, server_settings
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.engine.access import label_reader_for
from pt4al_backend.engine.project_jobs import ProjectJobs
from pt4al_backend.engine.ranking import PoolRanking
from pt4al_backend.engine.rounds import Rounds, last_output
from pt4al_backend.engine.train import RoundTraining
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.run import LocalRunner
from pt4al_backend.label_studio import label_config
from pt4al_backend.learn import devices
from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.progress import silent
from pt4al_backend.query.plan import StoredOutput, fit_schedule
from pt4al_backend.state.paths import frames_path
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

BOUND_PERCENT = 10.0
PROJECT = 1


@dataclass
class Spent:
    """Seconds of one run. Random picks take ``starting`` (of the rounds' training children) and ``training`` as well."""

    pretext: float = 0.0
    scoring: float = 0.0
    querying: float = 0.0
    starting: float = 0.0
    training: float = 0.0

    @property
    def share(self) -> float:
        """What random picks do without, in percent of what they take."""
        return 100 * (self.pretext + self.scoring + self.querying) / (self.starting + self.training)


class Run:
    """All rounds of a sweep, by the engine's own parts, with every label known and without Label Studio."""

    def __init__(self, folder: Path, pictures: Pictures, count: int) -> None:
        settings = server_settings(data_dir=folder, pretrained="off")
        self._store = Store.open(settings)
        side = pictures.size
        self._store.connect(
            PROJECT,
            label_config=CONFIG,
            task="classification",
            image_height=side,
            image_width=side,
            stored_height=side,
            stored_width=side,
        )
        project = self._store.project(PROJECT)
        assert project is not None  # noqa: S101 - just made
        self._project: Project = project
        self._pictures = pictures
        self._take_in(settings, count)
        options = project_settings()
        self._rounds = Rounds(self._store, project, options)
        reader = label_reader_for(settings, project, label_config.parse(CONFIG))
        jobs = ProjectJobs(self._store, settings, project, options, reader)
        self._ranking = PoolRanking(jobs, LocalRunner())
        self._training = RoundTraining(jobs, LocalRunner())
        self._folder = folder
        self._settings = settings
        self._options = options
        self.rounds = self._rounds.schedule().rounds
        self.spent = Spent()

    def _take_in(self, settings: ServerSettings, count: int) -> None:
        """Task k + 1 shows picture k, in row k of the frame file."""
        self._store.put_tasks(PROJECT, [{"id": k + 1, "image": f"{k}.png", "problem": ""} for k in range(count)])
        self._store.set_tasks(PROJECT, {"id": range(1, count + 1), "row": range(count)})
        with FrameFile(frames_path(settings, self._project), (self._pictures.size, self._pictures.size)) as frames:
            for k in range(count):
                frames.write(k, self._pictures.square(k))

    def __call__(self) -> Spent:
        """Ranks the pool, then trains and queries round by round."""
        self._rounds.start()
        took = seconds_of(lambda: self._ranking.rank(silent, _idle))
        scoring = float(artefacts.manifest(self._folder / self._project.learner)["seconds"]["score"])
        self.spent.pretext, self.spent.scoring = took - scoring, scoring
        self.spent.querying += seconds_of(lambda: self._rounds.open_first(self._last_output))
        for _ in range(self.rounds):
            self._round()
        self._store.close()
        return self.spent

    def _round(self) -> None:
        query = [pick.task_id for pick in self._store.picks(PROJECT, self._project.round) if pick.kind != PickKind.RESERVE]
        answers = {i: StoredAnswer(AnswerKind.LABEL, self._pictures.label(i - 1)) for i in query}
        self._store.put_answers(PROJECT, answers)
        began = time.perf_counter()
        scored, closed = self._training.train(self._candidates, silent, _idle)
        took = time.perf_counter() - began
        self.spent.scoring += closed.seconds["score"]
        self.spent.training += closed.seconds["train"]
        self.spent.starting += took - closed.seconds["score"] - closed.seconds["train"]
        self.spent.querying += seconds_of(lambda: self._rounds.open_next(scored, closed))

    def _last_output(self) -> StoredOutput:
        return last_output(self._settings, self._project, self._options)

    def _candidates(self) -> NDArray[np.int64]:
        following = self._project.round + 1
        self._rounds.cut_batches(following)
        return self._rounds.candidates(following)


def enlarged(spent: Spent, count: int, larger: int, size: int) -> Spent:
    """What a run over ``larger`` images takes if one over ``count`` took ``spent``: the same speeds, more of everything.

    The rounds' trainings grow with the labels and with the epochs that the recipe gives them.
    """
    times = larger / count
    training = spent.training * _steps(larger, size) / _steps(count, size)
    return Spent(spent.pretext * times, spent.scoring * times, spent.querying * times, spent.starting, training)


def _steps(count: int, size: int) -> int:
    """Images that the trainings of all rounds together take, each counted once an epoch."""
    options, device = project_settings(), devices.choose("auto")
    task = MAIN_TASKS.load("classification", MainTask)(build(ResNetForm.of((size, size), 16)), CLASSES, (size, size), options)
    schedule = fit_schedule(count, options)
    labels = [number * (schedule.query - schedule.control) for number in range(1, schedule.rounds + 1)]
    return sum(n * task.recipe(n, device, fresh=False).epochs for n in labels)


def measure(bench: Workbench) -> list[Line]:
    """The share, what it is made of, and what it comes to in a pool as large as that of the other measurements."""
    count, larger, size = bench.sizes.images, bench.sizes.large, bench.pictures.size
    run = Run(bench.folder / "overhead", bench.pictures, count)
    spent = run()
    what = "PT4AL's extra cost over random picks, of random's wall clock"
    paper = f"{run.rounds} rounds at the default settings; the paper's: 59 %"
    return [
        Line(f"{what}, {count:,} images of {size} px", spent.share, "%", BOUND_PERCENT, note=paper),
        Line("— pretext training", spent.pretext, "s"),
        Line("— scoring", spent.scoring, "s"),
        Line("— querying", spent.querying, "s"),
        Line("— against the rounds' trainings", spent.training, "s"),
        Line("— and the starts of their training children", spent.starting, "s"),
        Line(
            f"{what}, {larger:,} images of {size} px",
            enlarged(spent, count, larger, size).share,
            "%",
            BOUND_PERCENT,
            note="computed from the speeds above",
        ),
    ]


def _idle() -> None:
    return
