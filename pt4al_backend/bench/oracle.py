"""Active learning with known labels in place of annotators, on the very ranking, query and training code of the live engine.

A run is a folder: one job in a folder of its own for the ranking and for each round's training, as the worker writes them (see
``models``), and ``rounds.jsonl`` with a line for each round. A run that was stopped resumes with the first round that has no
line there.

All of the test images are handed to the training as control picks, so that measure and interval are the live engine's. As
there, a pretext whose losses mean nothing is not ranked by, and labels of one class train no model; the record says so.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend import __version__, artefacts
from pt4al_backend.aliases import Ids, Json
from pt4al_backend.bench import hardware, job_folders
from pt4al_backend.bench.arms import ORDERS, Arm
from pt4al_backend.bench.locks import held
from pt4al_backend.bench.models import models_of
from pt4al_backend.bench.records import RECORDS, comparable, firsts, lines, require_same, unbroken
from pt4al_backend.bench.truth import Truth, origins_of
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.errors import ConfigError, TooFewClasses
from pt4al_backend.jobs.results import read_learner
from pt4al_backend.learn import devices
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, silent
from pt4al_backend.query import plan
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.query.ranking import cut_batches
from pt4al_backend.query.strategies import Pool, Request


class Run:
    """One strategy with one seed.

    Args:
        folder: takes the run, or holds a part of it; ``seed-N``, beside those of the arm's other seeds.
        truth: the data set.
        options: strategy, seed, sizes and all else, as a project has them; control picks and the reserve are left out.
        rankings: folder of the rankings; runs of the same ``jobs.ranking_name`` share one.
        arm: what the run does beside its options; its settings are taken as being among them.
        device: where it trains.

    Raises:
        ConfigError: the pool is too small for the rounds, or the strategy does not suit the main task.
    """

    def __init__(
        self, folder: Path, truth: Truth, options: ProjectSettings, rankings: Path, arm: Arm, *, device: str = "auto"
    ) -> None:
        self._folder, self._truth, self._arm, self._device = folder, truth, arm, device
        self.options = plan.for_task(options, truth.task).model_copy(update={"control_share": 0.0, "reserve_size": 0})
        self.is_on_features = plan.on_features(self.options, truth.task)
        self._starts_from = self.options.model_copy(update={"pretext": arm.weights or options.pretext})
        self._ranking, self._learner = (
            rankings / job_folders.ranking_name(truth, each, device) for each in (self.options, self._starts_from)
        )
        plan.require_fit(options, truth.task)
        self._images = len(np.unique(origins_of(truth)))  # of identical ones, one is queried
        self._schedule = plan.fit_schedule(self._images, self.options)
        self._strategy = plan.strategy_of(self.options, self._schedule.batches)
        if too_few := self._schedule.too_few:
            what = f"Arm {arm.name!r}: {too_few}; {self._schedule.rounds} of {self._schedule.query} would fit."
            raise ConfigError(what, "Lower rounds or query_size in --settings or the arm, or use more images.")
        learner = self._learner / "result" if self._starts_from_learner() else None
        self._models = models_of(folder, truth, self.options, arm, self._schedule.query, learner, device)
        self._records = folder / RECORDS
        self._queried: list[Ids] = []
        self._notes: list[str] = []

    def records(self, count: int = 0) -> list[Json]:
        """The rounds that were run so far, of the ``count`` that are wanted.

        Raises:
            ConfigError: they were run with other settings, or those of another seed beside them were; or the pool is too
                small for them.
        """
        if (wanted := count * self._schedule.query) > self._images:
            rounds = f"{count} rounds of {self._schedule.query}, {wanted} in all"
            what = f"Arm {self._arm.name!r}: {self._images} usable images are too few for {rounds}."
            raise ConfigError(what, "Run fewer rounds (--rounds), lower query_size in the settings, or use more images.")
        done = unbroken(self._records, self._truth.end)
        options, variations = self.options.model_dump(mode="json"), self._arm.variations()
        ours = {**options, **variations, "device": devices.choose(self._device).type, "version": __version__}
        for record in done:
            theirs = {**record["settings"], **record.get("arm", {}), "device": record["device"], "version": record["version"]}
            require_same(self._folder, "rounds", theirs, ours)
        for path, first in firsts(self._folder.parent):
            if path != self._records:
                require_same(path.parent, "rounds", *comparable(first, options, variations))
        return done

    def damaged(self) -> int:
        """Lines of finished rounds that cannot be resumed from, as one of them or one before them is damaged."""
        return sum(1 for _ in lines(self._records)) - len(unbroken(self._records, self._truth.end))

    def __call__(self, count: int, report: Report = silent) -> Iterator[Json]:
        """Runs up to round ``count``, yielding the record of each. An error that ``report`` raises stops it wherever it is.

        Raises:
            ConfigError: another process runs it, or ``records`` refuses it.
        """
        with held(self._folder, wait=False):
            yield from self._run(count, report)

    def _run(self, count: int, report: Report) -> Iterator[Json]:
        done = self.records(count)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._queried = [np.array(each["query"], np.int64) for each in done]
        yield from list(done)
        if len(done) >= count:
            return
        report(Progress(Phase.PREPARING, len(done) + 1, count))
        self._models.require(done[:-1])
        ranked = self._rank(report)
        if done:
            self._learn(len(done), ranked, report)  # it scored nothing if it was to be the last
        for number in range(len(done) + 1, count + 1):
            report(Progress(Phase.PREPARING, number, count))
            record = self._round(number, ranked, report, is_last=number == count)
            done.append(record)
            self._write(done)
            yield record

    def _write(self, records: list[Json]) -> None:
        """Writes all records again, which leaves out a line that was cut short."""
        artefacts.atomic_write(self._records, "".join(json.dumps(record) + "\n" for record in records).encode())

    def _round(self, number: int, ranked: Pool, report: Report, *, is_last: bool) -> Json:
        began = time.perf_counter()
        query = self._query(number, ranked)
        took = time.perf_counter() - began
        self._queried.append(query)
        learned = self._learn(number, ranked, report, is_last=is_last)
        return {
            "strategy": self.options.strategy,
            "seed": self.options.seed,
            "round": number,
            "labels": sum(map(len, self._queried)),
            **learned["control"],
            "seconds": {**self._seconds_of_ranking(), "query": took, **learned["seconds"]},
            "query": query.tolist(),
            "init": learned["init"],
            "notes": [*self._notes, *learned.get("notes", ())],
            "settings": self.options.model_dump(mode="json"),
            "arm": self._arm.variations(),
            "version": __version__,
            "torch": torch.__version__,
            "device": learned["device"],
            "machine": hardware.name(devices.choose(self._device)),
        }

    def _query(self, number: int, ranked: Pool) -> Ids:
        scored = self._before(number)
        rng = np.random.default_rng([self.options.seed, number])
        request = Request(self._left(ranked), number, self._schedule.query, self._schedule.query, rng)
        return plan.choose(self._strategy, request, scored).ids

    def _left(self, ranked: Pool) -> Pool:
        """What of the whole pool, whose ids are its rows, is left to query: one of identical images, as in a project."""
        queried = np.concatenate([np.empty(0, np.int64), *self._queried])
        origins = origins_of(self._truth)
        known = np.isin(origins, origins[np.isin(ranked.ids, queried)])
        return ranked.take(np.flatnonzero((origins == ranked.ids) & ~known))

    def _before(self, number: int) -> StoredOutput:
        """What is known of the pool before a round: the last model's output, or the pretext learner's."""
        if self._arm.blind:
            return StoredOutput()
        found = self._models.output(number - 1) if number > 1 else None  # labels of one class leave none
        if found is not None:
            return found
        return read_learner(self._ranking) if self._needs_features() else StoredOutput()

    def _learn(self, number: int, ranked: Pool, report: Report, *, is_last: bool = False) -> Json:
        """What is known of a round's model, trained unless it is there; the last one of a run scores no candidates."""
        pool = self._left(ranked)
        chosen = self._strategy.candidates(pool, number + 1, self._schedule.query)
        candidates = pool.ids[chosen[:0] if is_last else chosen]
        try:
            return self._models.learn(number, np.concatenate(self._queried), candidates, report, is_last=is_last)
        except TooFewClasses as error:
            return self._unlearned(error.message)

    def _unlearned(self, why: str) -> Json:
        """A round without a model."""
        nothing = {"metric": MAIN_TASK_FACTS[self._truth.task].metric, "value": None, "total": 0}
        return {"control": nothing, "seconds": {}, "init": "", "notes": [why], "device": devices.choose(self._device).type}

    def _rank(self, report: Report) -> Pool:
        """The whole pool with its losses, cut into batches."""
        ids, losses = self._truth.rows, self._losses(report)
        return Pool(ids, losses, cut_batches(ids, losses, self._schedule.batches, self.options.seed))

    def _losses(self, report: Report) -> NDArray[np.float64]:
        """The pool's pretext losses, as the arm ranks them; NaN if they mean nothing, or the arm does not rank by them."""
        if self._starts_from_learner():
            job_folders.rank(self._learner, self._truth, self._starts_from, self._device, report)
        if self.needs_ranking():
            job_folders.rank(self._ranking, self._truth, self.options, self._device, report)
        if not self._needs_losses():
            return np.full(self._truth.pool, np.nan)
        losses: NDArray[np.float64] = np.load(self._ranking / "result" / "losses.npy", allow_pickle=False)
        quality = artefacts.manifest(self._ranking / "result")["quality"]
        if not quality["meaningful"]:
            self._notes = [f"{quality['reason']} The order of the pool is drawn at random."]
            return np.full_like(losses, np.nan)
        return ORDERS[self._arm.order](losses, self._schedule.batches, np.random.default_rng(self.options.seed))

    def needs_ranking(self) -> bool:
        """Whether its rounds need what a pretext learner is trained for: losses, or features."""
        return self._needs_losses() or self._needs_features()

    def _needs_losses(self) -> bool:
        """Whether losses or batches change what is queried; beside the pretext learner's features, those of PT4AL's batches."""
        used = self._strategy.depends_on_ranking and self._arm.order != "none"
        return used and (self.options.strategy == "pt4al" or not self._needs_features())

    def _needs_features(self) -> bool:
        """Whether the pretext learner's features are needed before there is a model."""
        return "pretext_features" in self._strategy.needs and not self._arm.blind

    def _starts_from_learner(self) -> bool:
        start = ("pretext",) if self.options.pretrained_encoder else ("auto", "pretext")
        return self.options.init in start and not self.is_on_features

    def _seconds_of_ranking(self) -> dict[str, float]:
        """Of the learners that the arm uses, by the name of the part."""
        used = {self._ranking} if self.needs_ranking() else set()
        if self._starts_from_learner():
            used.add(self._learner)
        seconds = [sum(artefacts.manifest(folder / "result")["seconds"].values()) for folder in used]
        return {"rank": float(sum(seconds))} if used else {}
