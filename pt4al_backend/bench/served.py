"""How often the model that the labels choose to be served is the better one (see ``learn.frozen.comparison``).

From labels that are drawn at random the live engine's own jobs make the comparison, a head and a model whose encoder is trained
too; both models answer the test images, which the comparison never sees. ``served.jsonl`` in the output folder has a line for
each seed and number of labels.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from pt4al_backend import __version__, artefacts
from pt4al_backend.aliases import Ids, Json
from pt4al_backend.bench import hardware, job_folders, tables
from pt4al_backend.bench.records import lines, require_same
from pt4al_backend.bench.report import Section
from pt4al_backend.bench.statistics import Spread
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import ProjectSettings
from pt4al_backend.jobs.spec import CompareSpec, FullSpec, LearnSpec, ModelSpec, RankSpec
from pt4al_backend.learn import devices
from pt4al_backend.learn.frozen.comparison import Comparison
from pt4al_backend.progress import Report, silent

FILE = "served.jsonl"
#: Images that are ranked: the encoder's artefact is wanted, not the order.
RANKED = 40

NOTE = (
    "Accuracy in %, mean ± sd over the seeds: of both models on the test images, and of the one that is served by the rule. "
    "The comparison is what cross-validation on the labels says, full tuning less the head. *Better one*: in how many seeds the "
    "served model is the one that is better on the test images, or as good."
)


class Line(BaseModel):
    """What was found with one seed and number of labels: shares of right answers, 0..1.

    Attributes:
        images, head, full, error: the comparison's.
        head_test, full_test: of the models that learned all labels, on ``test`` images.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    seed: int
    labels: int
    images: int
    head: float
    full: float
    error: float
    head_test: float
    full_test: float
    test: int
    seconds: float
    settings: Json
    version: str
    torch: str
    machine: str

    @property
    def full_wins(self) -> bool:
        """Whether the rule serves the model whose encoder is trained too."""
        return Comparison(self.images, self.head, self.full, self.error).full_wins

    @property
    def served_test(self) -> float:
        """The served model on the test images."""
        return self.full_test if self.full_wins else self.head_test

    @property
    def is_better_one(self) -> bool:
        """Whether no other model would have been better on the test images."""
        return self.served_test >= max(self.head_test, self.full_test)


def read(to: Path) -> list[Line]:
    """What was found so far, by number of labels and seed; a line that was cut short counts as not written."""
    found = {}
    for text in lines(to / FILE):
        try:
            line = Line.model_validate_json(text)
        except ValidationError:
            continue
        found[line.labels, line.seed] = line
    return [found[key] for key in sorted(found)]


def run(
    to: Path, truth: Truth, options: Sequence[ProjectSettings], labels: Sequence[int], device: str, report: Report = silent
) -> Iterator[Line]:
    """Yields what is found with each seed, that of each of ``options``, and number of labels; what is there is not run again.

    Raises:
        ConfigError: the folder holds what other settings gave.
        TrainingImpossible: there are no weights of the encoder.
    """
    there = {(line.labels, line.seed): line for line in read(to)}
    for each in options:
        for line in there.values():
            require_same(to, f"comparisons (in {FILE})", line.settings, _settings(each))
        for count in labels:
            yield there.get((count, each.seed)) or _found(to, truth.of_seed(each.seed), each, count, device, report)


def _settings(options: ProjectSettings) -> Json:
    return options.model_dump(mode="json", exclude={"seed"})


def _found(to: Path, truth: Truth, options: ProjectSettings, count: int, device: str, report: Report) -> Line:
    learner = to / "rank" / "result"
    some = np.arange(min(RANKED, len(truth.labels)))
    job_folders.do(to / "rank", RankSpec(**job_folders.common(truth, _of_seed_0(options), device)), report, rows=some, ids=some)
    # of one seed each draw contains the smaller ones, as the labels of a project do
    drawn = np.random.default_rng(options.seed).permutation(truth.rows)[:count]
    folder = to / "jobs" / f"seed-{options.seed}-labels-{count}"
    common = job_folders.common(truth, options, device)
    head = _tested(folder / "head", truth, LearnSpec(**common, classes=truth.classes, learner=learner), drawn, report)
    spec = CompareSpec(**common, classes=truth.classes, learner=learner, labels=count)
    job_folders.do(folder / "compare", spec, report, train=truth.training_data(drawn), rows=truth.rows)
    compared = artefacts.manifest(folder / "compare" / "result")
    served = FullSpec(**common, classes=truth.classes, learner=learner, labels=count, temperature=compared["temperature"])
    full = _tested(folder / "full", truth, served.changed(tuning="full"), drawn, report)
    line = Line(
        seed=options.seed,
        labels=count,
        **{name: compared[name] for name in ("images", "head", "full", "error")},
        head_test=head["control"]["value"],
        full_test=full["control"]["value"],
        test=len(truth.test),
        seconds=compared["seconds"],
        settings=_settings(options),
        version=__version__,
        torch=torch.__version__,
        machine=hardware.name(devices.choose(device)),
    )
    with (to / FILE).open("a") as file:
        file.write(line.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return line


def _of_seed_0(options: ProjectSettings) -> ProjectSettings:
    return options.model_copy(update={"seed": 0})


def _tested(folder: Path, truth: Truth, spec: ModelSpec, labelled: Ids, report: Report) -> Json:
    """The manifest of a model of these labels, which says how it answers the test images; how sure it is lies beside it."""
    train, control = truth.training_data(labelled), truth.training_data(truth.test)
    job_folders.do(folder, spec, report, train=train, control=control, candidates=truth.test, candidate_ids=truth.test)
    return artefacts.manifest(folder / "result")


def section(found: Sequence[Line]) -> Section:
    """A row for each number of labels, and one for all of them."""
    head = ["labels", "seeds", "head", "full", "comparison", "full is served", "served", "better one", "seconds a comparison"]
    rows = []
    for count in sorted({line.labels for line in found}):
        own = [line for line in found if line.labels == count]
        rows.append([f"{count}", f"{len(own)}", *_cells(own)])
    if len({line.labels for line in found}) > 1:
        rows.append(["all", f"{len(found)} runs", *_cells(found)])
    return Section("The model that is served", NOTE, tables.table(head, rows))


def _cells(found: Sequence[Line]) -> list[str]:
    served, better = (sum(getattr(line, name) for line in found) for name in ("full_wins", "is_better_one"))
    return [
        _percent([line.head_test for line in found]),
        _percent([line.full_test for line in found]),
        _percent([line.full - line.head for line in found], sign="+"),
        f"{served} of {len(found)}",
        _percent([line.served_test for line in found]),
        f"{better} of {len(found)}",
        f"{np.mean([line.seconds for line in found]):.0f}",
    ]


def _percent(values: Sequence[float], sign: str = "") -> str:
    spread = Spread.of([100 * value for value in values])
    return f"{spread.mean:{sign}.1f}" + ("" if spread.sd is None else f" ± {spread.sd:.1f}")
