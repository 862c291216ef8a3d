"""``pt4al bench``: strategies side by side on data with known labels, with an oracle in place of annotators.

An arm is a name and the settings that set it apart: ``--arm 'margin={"strategy": "margin"}'``. Each arm and seed has a
folder of its own below the output folder; what is finished there is not run again.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pt4al_backend import artefacts
from pt4al_backend.bench import analyses
from pt4al_backend.bench.arms import WHERE, Arm, image_size
from pt4al_backend.bench.experiments import EXPERIMENTS, PRESETS, RANDOM, Experiment
from pt4al_backend.bench.locks import held
from pt4al_backend.bench.options import (
    Chosen,
    Common,
    Data,
    Device,
    FirstSeed,
    Limit,
    Masks,
    Part,
    Rankings,
    Redraw,
    Tested,
    To,
    command_line,
    out,
    require_task,
    settings_of,
)
from pt4al_backend.bench.records import ARMS, RANK
from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.errors import ConfigError
from pt4al_backend.ops.terminal import examples
from pt4al_backend.phases import Phase

if TYPE_CHECKING:
    from pt4al_backend.bench.oracle import Run
    from pt4al_backend.bench.truth import Truth
    from pt4al_backend.progress import Progress, Report

#: Sections of the report that are shown in the terminal too.
PRINTED = ("Values", "Deviations", "Differences")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Compares strategies on data with known labels, with an oracle in place of annotators.",
)


RUN = "`pt4al bench run mine --data photos --arm 'random={\"strategy\": \"random\"}' --arm 'pt4al={}'`: compares two on a folder."


@app.command(epilog=examples(RUN))
def run(
    to: To,
    data: Data,
    arm: Annotated[list[str], typer.Option(help='Name and settings: \'random={"strategy": "random"}\'. Give it several times.')],
    dataset: Annotated[str, typer.Option(help="Name of the data set, as `pt4al bench datasets` has it.")] = "folder",
    masks: Masks = None,
    pool: Part = None,
    test: Tested = None,
    common: Common = "{}",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each run.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds each arm is run with.")] = 5,
    first_seed: FirstSeed = 0,
    device: Device = "auto",
    time_limit: Limit = 0.0,
    rankings: Rankings = None,
    redraw: Redraw = False,
) -> None:
    """Runs the rounds of every arm and seed, seed by seed, and prints the table."""
    given = settings_of(common)
    arms = [Arm.parse(text).with_settings({"rounds": rounds, **given}) for text in arm]
    chosen = Chosen(to, rankings or to, data, dataset, masks, pool, test, device, image_size(arms), redraw=redraw)
    _compare(chosen, "pt4al bench run", arms, range(first_seed, first_seed + seeds), rounds, time_limit, named=True)


def _command(name: str, experiment: Experiment) -> None:
    def command(
        to: To,
        data: Data,
        preset: Annotated[str, typer.Option(help="honest, paper, released-code or quick.")] = "honest",
        dataset: Annotated[str, typer.Option(help="Another data set, as `pt4al bench datasets` has it.")] = experiment.dataset,
        masks: Masks = None,
        pool: Part = None,
        test: Tested = None,
        common: Common = "{}",
        only: Annotated[list[str] | None, typer.Option(help="Name of an arm, to leave out the others; several times.")] = None,
        seeds: Annotated[int, typer.Option(min=1, help="How many seeds each arm is run with.")] = experiment.seeds,
        first_seed: FirstSeed = 0,
        device: Device = "auto",
        time_limit: Limit = 0.0,
        rankings: Rankings = None,
        redraw: Redraw = experiment.redraw,
    ) -> None:
        require_task(dataset, data, masks, experiment.task)
        size, arms = experiment.planned(preset, dataset, settings_of(common))
        if unknown := sorted(set(only or ()) - {arm.name for arm in arms}):
            names = ", ".join(arm.name for arm in arms)
            raise ConfigError(f"{name} has no arm {', '.join(map(repr, unknown))}.", f"It has {names}.")
        arms = [arm for arm in arms if not only or arm.name in only]
        part = size.pool, size.test
        chosen = Chosen(to, rankings or to, data, dataset, masks, pool, test, device, image_size(arms), part, redraw)
        title = f"{experiment.title}; {preset}: {PRESETS[preset].about}"
        run_seeds, rounds = range(first_seed, first_seed + seeds), experiment.rounds or size.rounds
        _compare(chosen, title, arms, run_seeds, rounds, time_limit, named=bool(only))

    example = f"`pt4al bench {name} {name} --data DIR --preset quick`: writes into the folder {name}."
    app.command(name, help=f"{experiment.title}, on {experiment.dataset}.", epilog=examples(example))(command)


for _name, _experiment in EXPERIMENTS.items():
    _command(_name, _experiment)
for _name, _analysis in analyses.COMMANDS.items():
    app.command(_name, epilog=examples(analyses.EXAMPLES[_name]))(_analysis)


def _compare(
    chosen: Chosen, title: str, arms: Sequence[Arm], seeds: Sequence[int], rounds: int, time_limit: float, *, named: bool
) -> None:
    """Runs every arm with every seed, seed by seed, and writes the report, unless the time limit let no round end.

    Arms whose initial weights cannot be had are left out, unless the user ``named`` them.
    """
    from pt4al_backend.bench import figures
    from pt4al_backend.bench.oracle import Run
    from pt4al_backend.bench.report import EXPERIMENT, FOLDER, experiment
    from pt4al_backend.progress import silent
    from pt4al_backend.query.plan import require_fit

    report_until = _until(time.monotonic() + time_limit) if time_limit else silent
    to = chosen.to
    task = DATASETS.load(chosen.dataset, Loader)().task(chosen.data, chosen.masks)
    for arm in arms:
        require_fit(arm.options(), task, WHERE)
    if twice := [name for name, count in Counter(arm.name for arm in arms).items() if count > 1]:
        raise ConfigError(f"More than one arm is named {', '.join(map(repr, twice))}.", "Give each arm a name of its own.")
    experiment(to)  # damaged, it is refused before anything is decoded
    truth = chosen.truth()
    arms = _startable(arms, truth, chosen.device, named=named)
    runs = {
        f"{arm.name}, seed {seed}": Run(
            to / ARMS / arm.name / f"seed-{seed}",
            truth.of_seed(seed),
            arm.options(**truth.params, seed=seed),
            chosen.rankings,
            arm,
            device=chosen.device,
        )
        for seed in seeds
        for arm in arms
    }
    for one in runs.values():
        one.records(rounds)  # all are checked before the first is run
    _note(to / EXPERIMENT, title)
    _compute_features(runs.values(), truth, chosen.device)
    finished, left = 0, False
    for name, one in runs.items():
        if (damaged := one.damaged()) and len(one.records()) < rounds:
            out.print(f"{name}: {damaged} damaged lines, or lines behind one, are left out and run again")
        number = 0
        with contextlib.suppress(_TimeIsUp):
            for record in one(rounds, report_until):
                number = record["round"]
                took = sum(seconds for part, seconds in record["seconds"].items() if part != RANK or number == 1)
                value = "not tested" if record["value"] is None else f"{record['metric']} {record['value']:.1%}"
                out.print(f"{name}: {record['labels']} labels, {value}, {took:.0f} s")
        finished, left = finished + number, left or number < rounds
    if left:
        reached = "The time limit was reached" if finished else "No round was finished within the time limit"
        out.print(f"{reached}; the same command continues from here.")
    if finished:
        drawn = (to / FOLDER / "values.svg").exists()  # figures that would not fit the new tables
        report(to, figures=drawn and figures.drawable())


def _compute_features(runs: Iterable["Run"], truth: "Truth", device: str) -> None:
    """Features of all images by each frozen encoder, before the first run; of all orientations where some run ranks by them."""
    from pt4al_backend.bench import features

    for encoder, those in groupby(sorted(runs, key=_encoder_of), _encoder_of):
        if encoder:
            first, *others = those
            turned = any(one.needs_ranking() for one in (first, *others))
            seconds = features.compute(truth, first.options, device, turned=turned)
            out.print(f"Features of {len(truth.labels):,} images by {encoder}: {seconds:.0f} s")


def _encoder_of(run: "Run") -> str:
    return run.options.frozen_encoder if run.is_on_features else ""


class _TimeIsUp(Exception):
    """Work is to stop where it is."""


#: Phases of work that resumes where it was stopped; all else would start over, for ever if it takes longer than there is time.
RESUMED = frozenset({Phase.PREPARING, Phase.PRETEXT, Phase.TRAINING})


def _until(deadline: float) -> "Report":
    """What work reports to that is to stop after a deadline, of the monotonic clock, as soon as it can be resumed."""

    def report(progress: "Progress") -> None:
        if progress.phase in RESUMED and time.monotonic() > deadline:
            raise _TimeIsUp

    return report


def _startable(arms: Sequence[Arm], truth: "Truth", device: str, *, named: bool) -> list[Arm]:
    """The arms whose initial weights can be had; the terminal says which others are left out, and why.

    Raises:
        ConfigError: such an arm is ``named``, or there are no others.
    """
    from pt4al_backend.bench.initial_weights import missing

    left_out = missing(arms, truth, device)
    gone = [arm.name for those in left_out.values() for arm in those]
    for reason, those in left_out.items():
        names = ", ".join(repr(arm.name) for arm in those)
        if named or len(gone) == len(arms):
            raise ConfigError(f"There are no initial weights for {names}. {reason}", "Set another init, or leave these arms out.")
        out.print(f"Left out: {names}. {reason}")
    return [arm for arm in arms if arm.name not in gone]


def _note(path: Path, title: str) -> None:
    """Adds this command line to those that made the runs beside the file; processes that share them take turns."""
    from pt4al_backend.bench.report import experiment

    this = command_line()
    with held(path, wait=True):
        before = str(experiment(path.parent).get("command", "")).splitlines()
        lines = [*(each for each in before if each != this), this]
        artefacts.atomic_write(path, json.dumps({"title": title, "command": "\n".join(lines)}).encode())


@app.command(epilog=examples("`pt4al bench report mine`: reads the runs in the folder mine."))
def report(
    to: Annotated[Path, typer.Argument(help="Output folder of runs.")],
    baseline: Annotated[str | None, typer.Option(help="Arm that the others are compared with; else random.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Arm that is shown, to leave out the others; several times.")] = None,
    figures: Annotated[bool, typer.Option(help="Draw figures, which needs matplotlib.")] = True,
) -> None:
    """Writes tables and figures below the output folder, and prints mean ± sd and the paired differences to the baseline."""
    from pt4al_backend.bench import report as reports
    from pt4al_backend.bench.results import Results

    results = Results.read(to, baseline or RANDOM.name)
    for name in [*(arm or ()), *([] if baseline is None else [baseline])]:
        if name not in results.found.arms:
            raise ConfigError(f"No arm is named {name!r}.", f"There are {', '.join(map(repr, results.found.arms))}.")
    if arm:
        results = results.only(arm)
    sections = list(reports.sections(results))
    path = reports.write(results, sections, draw=figures)
    for section in (each for each in sections if each.heading in PRINTED):
        out.print(f"{section.markdown(drawn=False)}\n")
    out.print("\n".join(filter(None, (reports.skipped(to, results.found.corrupt), f"All tables: {path}"))))


@app.command("datasets", epilog=examples("`pt4al bench datasets`: prints what `--dataset` may be."))
def datasets_() -> None:
    """Prints the data sets that have a name: what they are, where to get them, how their folder has to look."""
    for name in DATASETS:
        loader = DATASETS.load(name, Loader)()
        out.print(f"{name}: {loader.about}\n  {loader.origin}\n  --data names {loader.place}\n")
