"""Does the pretext loss of an image rank it as the main task's loss does? (PT4AL, section 3.1 and fig. 2.)

Pretext learner and main network learn the same pool, apart from each other and from fresh weights; the losses that are compared
are those of the test images, which neither has seen. A learner that held out a part of its pool puts unseen losses on the
scale of the seen ones, which keeps their order but ties those beyond both ends; the presets hold nothing out.

``loss_rank.jsonl`` in the output folder has a line for each seed and pretext task, ``loss_rank/PRETEXT-seed-N.npz`` both losses.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zipfile import is_zipfile

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pt4al_backend import __version__
from pt4al_backend.aliases import Json
from pt4al_backend.artefacts import atomic_write
from pt4al_backend.bench import correlation, figures, hardware, job_folders, supervised, tables
from pt4al_backend.bench.correlation import Correlation
from pt4al_backend.bench.records import lines, require_same
from pt4al_backend.bench.report import Section, beside_defaults, on
from pt4al_backend.bench.statistics import Spread
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.learn import devices
from pt4al_backend.progress import Report, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FILE, ARRAYS = "loss_rank.jsonl", "loss_rank"
SHOWN = 1000  # test images in a figure, as in the paper

NOTE = (
    "Spearman's rank correlation of the pretext loss and the main task's cross-entropy, both of the test images: all of them, "
    "with the 95 % interval of 1,000 resamples of the images, and the mean over the classes of that within each. An interval "
    "is of one pair of networks; how much pairs differ, the seeds say."
)
SCATTER = "The ranks of {shown:,} of the {n:,} test images, drawn at random; 0 is the lowest loss, 1 the highest."


class Line(BaseModel):
    """What was found with one seed and pretext task."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    seed: int
    pretext: str
    n: Annotated[int, Field(ge=1)]
    rho: float | None
    low: float | None
    high: float | None
    within: float | None
    accuracy: float
    pretext_accuracy: float | None
    settings: Json
    version: str
    torch: str
    device: str
    machine: str = ""


def read(to: Path) -> tuple[list[Line], dict[Path, int]]:
    """What was found so far, by pretext task and seed, and how many lines of which file are corrupt, or were cut short.

    A line whose losses are gone or were cut short counts as not written.
    """
    found: dict[tuple[str, int], Line] = {}
    corrupt = 0
    for text in lines(to / FILE):
        try:
            line = Line.model_validate_json(text)
        except ValidationError:
            corrupt += 1
            continue
        if is_zipfile(_arrays(to, line)):
            found[line.pretext, line.seed] = line
    return [found[key] for key in sorted(found)], {to / FILE: corrupt} if corrupt else {}


def run(
    to: Path, truth: Truth, options: Iterable[ProjectSettings], rankings: Path, device: str, report: Report = silent
) -> Iterator[Line]:
    """Yields what is found with each seed and pretext task of ``options``; what is in the folder already is not run again.

    Raises:
        ConfigError: the data set is not one of classification, or the folder holds what other settings gave.
    """
    supervised.require_classes(truth)
    there, _ = read(to)
    for each in options:
        pretext, settings = each.pretext or MAIN_TASK_FACTS[truth.task].pretext, _settings(each)
        for line in there:
            require_same(to, f"loss ranks (in {FILE})", line.settings, settings)
        done = next((line for line in there if (line.pretext, line.seed) == (pretext, each.seed)), None)
        yield done or _found(to, truth, each, pretext, rankings, device, report)


def _settings(options: ProjectSettings) -> Json:
    return options.model_dump(mode="json", exclude={"seed", "pretext"})


def _found(to: Path, truth: Truth, options: ProjectSettings, pretext: str, rankings: Path, device: str, report: Report) -> Line:
    learner = job_folders.rank(rankings / job_folders.ranking_name(truth, options, device), truth, options, device, report)
    model = supervised.train(rankings, truth, options, device, report)
    labels = truth.labels[truth.test]
    _, logits = supervised.look(model, truth, truth.test, device, report)
    main, accuracy = supervised.losses(logits, labels, truth.classes)
    with tempfile.TemporaryDirectory(dir=to) as scratch:
        losses, manifest = job_folders.score(Path(scratch) / "job", truth, learner, truth.test, options, device, report)
    line = Line(
        seed=options.seed,
        pretext=pretext,
        **asdict(Correlation.of(main, losses, labels)),
        accuracy=accuracy,
        pretext_accuracy=manifest["quality"]["accuracy"],
        settings=_settings(options),
        version=__version__,
        torch=torch.__version__,
        device=manifest["device"],
        machine=hardware.name(devices.choose(device)),
    )
    arrays = _arrays(to, line)
    arrays.parent.mkdir(exist_ok=True)
    buffer = BytesIO()
    np.savez(buffer, ids=truth.ids[truth.test], labels=labels, main=main, pretext=losses)
    atomic_write(arrays, buffer.getbuffer())
    _append(to / FILE, line)
    return line


def _arrays(to: Path, line: Line) -> Path:
    return to / ARRAYS / f"{line.pretext}-seed-{line.seed}.npz"


def _append(path: Path, line: Line) -> None:
    """Adds a line, after the end of one that was cut short: processes with other seeds may write to the same file."""
    with path.open("a+b") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
        cut_short = file.read() not in (b"", b"\n")
        file.write(b"\n" * cut_short + line.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def sections(to: Path, found: Sequence[Line]) -> Iterator[Section]:
    """A table of all pretext tasks, then their scatter plots."""
    names = list(dict.fromkeys(line.pretext for line in found))
    yield Section("Loss ranks", NOTE, table(found))
    for name in names:
        own = [line for line in found if line.pretext == name]
        note = SCATTER.format(shown=min(SHOWN, own[0].n), n=own[0].n)
        draw = partial(_drawn, to, own)
        yield Section(f"The ranks by {name}", note, name=f"loss-rank-{name}", draw=draw)


def made(found: Sequence[Line]) -> str:
    """What the numbers come from: machine, versions and settings."""
    machines = {on(line.device, line.machine) for line in found}
    versions, torches = ({getattr(line, key) for line in found} for key in ("version", "torch"))
    where, ours, theirs = (", ".join(sorted(each)) for each in (machines, versions, torches))
    settings = json.dumps(beside_defaults(found[0].settings))
    return f"Trained on {where}, with pt4al-backend {ours} and torch {theirs}. Settings, beside the defaults: `{settings}`."


def table(found: Sequence[Line]) -> str:
    """A row for each seed, and their mean ± sd below those of a pretext task."""
    head = ["pretext task", "seed", "rho", "95 % interval", "within classes", "test images", "main accuracy", "pretext accuracy"]
    rows = []
    for name in dict.fromkeys(line.pretext for line in found):
        own = [line for line in found if line.pretext == name]
        rows += [[name, f"{line.seed}", *_cells(line)] for line in own]
        if len(own) > 1:
            rhos, within = (_mean([getattr(line, key) for line in own]) for key in ("rho", "within"))
            rows.append([name, "*mean ± sd*", rhos, tables.NONE, within, *[tables.NONE] * 3])
    return tables.table(head, rows)


def _cells(line: Line) -> list[str]:
    between = tables.NONE if line.low is None or line.high is None else f"{line.low:.3f} to {line.high:.3f}"
    accuracies = (tables.NONE if each is None else f"{100 * each:.1f} %" for each in (line.accuracy, line.pretext_accuracy))
    return [_number(line.rho), between, _number(line.within), f"{line.n:,}", *accuracies]


def _number(rho: float | None) -> str:
    return tables.NONE if rho is None else f"{rho:.3f}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return tables.NONE
    spread = Spread.of(known)
    return f"{spread.mean:.3f}" + (tables.NONE if spread.sd is None else f" ± {spread.sd:.3f}")


def _drawn(to: Path, found: Sequence[Line]) -> "Figure":
    return figures.ranks({_title(line): _shown(_arrays(to, line)) for line in found})


def _title(line: Line) -> str:
    if line.rho is None or line.low is None or line.high is None:
        return f"seed {line.seed}: all losses are equal"
    return f"seed {line.seed}: ρ = {line.rho:.2f} ({line.low:.2f} to {line.high:.2f})"


def _shown(path: Path) -> Mapping[str, NDArray[np.float64]]:
    """Ranks in 0..1 among all test images, of those that are drawn."""
    with np.load(path, allow_pickle=False) as arrays:
        losses = {"main task loss": arrays["main"], "pretext loss": arrays["pretext"]}
    n = len(losses["pretext loss"])
    drawn = np.random.default_rng(0).permutation(n)[:SHOWN]
    return {name: (correlation.ranks(values)[drawn] - 0.5) / n for name, values in losses.items()}
