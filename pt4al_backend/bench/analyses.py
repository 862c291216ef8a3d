"""The paper's analyses as commands: they train a main network on the whole pool, which no strategy could."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pt4al_backend.aliases import Json
from pt4al_backend.bench.arms import Arm, image_size
from pt4al_backend.bench.experiments import PRESETS, Experiment
from pt4al_backend.bench.options import (
    Chosen,
    Common,
    Data,
    Device,
    FirstSeed,
    Part,
    Rankings,
    Tested,
    To,
    command_line,
    out,
    require_task,
    settings_of,
)
from pt4al_backend.errors import ConfigError

if TYPE_CHECKING:
    from pt4al_backend.bench.report import Section

ROTATION = ["rotation"]
LABELS = [30, 60, 100, 200]
LOSS_RANKS = "Ranks by pretext loss and by main loss (fig. 2)"
T_SNE = "What was queried (fig. 4)"

Figures = Annotated[bool, typer.Option(help="Draw figures, which needs matplotlib.")]


def loss_rank(
    to: To,
    data: Data,
    preset: Annotated[str, typer.Option(help="honest, paper, released-code or quick.")] = "honest",
    dataset: Annotated[str, typer.Option(help="A data set of classification, as `pt4al bench datasets` has it.")] = "cifar10",
    pool: Part = None,
    test: Tested = None,
    common: Common = "{}",
    pretext: Annotated[list[str], typer.Option(help="Pretext task whose losses are ranked; several times.")] = ROTATION,
    seeds: Annotated[int, typer.Option(min=1, help="How many pairs of networks are trained.")] = 3,
    first_seed: FirstSeed = 0,
    device: Device = "auto",
    rankings: Rankings = None,
    figures: Figures = True,
) -> None:
    """Ranks by pretext loss and by main loss on the test images, and their correlation (fig. 2)."""
    from pt4al_backend.bench import figures as drawing
    from pt4al_backend.bench import loss_rank as analysis
    from pt4al_backend.bench import report

    if figures:
        drawing.require()
    require_task(dataset, data, None, "classification")
    tasks = tuple(Arm(name, {"pretext": name}) for name in dict.fromkeys(pretext))
    size, arms = Experiment(LOSS_RANKS, dataset, tasks).planned(preset, dataset, _independent(settings_of(common)))
    part = size.pool, size.test
    chosen = Chosen(to, rankings or to, data, dataset, None, pool, test, device, image_size(arms), part)
    truth = chosen.truth()
    own = (arm.options(**truth.params, seed=seed) for seed in range(first_seed, first_seed + seeds) for arm in arms)
    for line in analysis.run(to, truth, own, chosen.rankings, device):
        found = "all losses are equal" if line.rho is None else f"rho {line.rho:.3f} ({line.low:.3f} to {line.high:.3f})"
        out.print(f"{line.pretext}, seed {line.seed}: {found}, {line.n:,} test images, main accuracy {line.accuracy:.1%}")
    lines, corrupt = analysis.read(to)
    skipped = report.skipped(to, corrupt)
    out.print("\n".join(filter(None, (f"\n{analysis.table(lines)}\n", skipped))))
    title = f"# {LOSS_RANKS}; {preset}: {PRESETS[preset].about}"
    head = (title, report.fenced(command_line()), skipped, truth.source, analysis.made(lines))
    path = report.document(to, "loss-rank", head, list(analysis.sections(to, lines)), draw=figures)
    out.print(f"Report: {path}")


def _independent(settings: Json) -> Json:
    """The settings, unless they would set what this analysis sets.

    Raises:
        ConfigError: they do.
    """
    if "pretext" in settings:
        raise ConfigError("The setting 'pretext' is not one of --settings here.", "Name pretext tasks with --pretext.")
    if settings.get("init", "fresh") != "fresh":
        what = "Pretext learner and main network must not share initial weights"
        raise ConfigError(f"{what}: the setting 'init' is {settings['init']!r}.", "Leave it out.")
    return settings


def t_sne(
    to: Annotated[Path, typer.Argument(help="Output folder of finished runs.")],
    arm: Annotated[list[str] | None, typer.Option(help="Arm that has a panel; up to four times. Else all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Whose runs are shown; of the map, too.")] = 0,
    points: Annotated[int, typer.Option(min=10, help="Images of the pool on the map, at most.")] = 5000,
    device: Device = "auto",
    rankings: Rankings = None,
) -> None:
    """What arms of finished runs queried in the first, the middle and the last round, on a t-SNE map of the pool (fig. 4)."""
    from pt4al_backend.bench import embedding, report
    from pt4al_backend.bench import figures as drawing

    drawing.require()
    found = embedding.draw(to, rankings or to, arm or [], seed, points, device)
    head = (f"# {T_SNE}", report.fenced(command_line()), found.skipped)
    path = report.document(to, "t-sne", head, [found.section()], draw=True)
    out.print("\n".join(filter(None, (found.skipped, f"Report: {path}"))))


def choose(
    to: Annotated[list[Path], typer.Argument(help="Output folders of finished runs, a comparison each.")],
    baseline: Annotated[str, typer.Option(help="Arm that the others are compared with.")] = "random",
) -> None:
    """Which arm the rule for the product's defaults chooses from several comparisons (docs/benchmark.md)."""
    from pt4al_backend.bench import choice
    from pt4al_backend.bench.results import Results

    found = choice.standings([Results.read(folder, baseline) for folder in to])
    out.print(choice.table(found, [folder.name for folder in to]))
    chosen = choice.choose(found)
    out.print(f"\nThe rule chooses {chosen.arm!r}: {json.dumps({key: chosen.settings.get(key) for key in choice.DECIDED})}")


def forecast(
    to: Annotated[Path, typer.Argument(help="Output folder of the report.")],
    seeds: Annotated[int, typer.Option(min=1, help="How often each kind of project is simulated.")] = 20,
    first_seed: FirstSeed = 0,
) -> None:
    """How often the overview's forecast and stop advice are right, on learning curves whose truth is known."""
    from pt4al_backend.bench import forecast as simulation

    to.mkdir(parents=True, exist_ok=True)
    found = simulation.run(range(first_seed, first_seed + seeds))
    _report(to, "forecast", "Forecast and stop advice", simulation.sections(found))


def _report(to: Path, name: str, title: str, parts: Sequence["Section"]) -> None:
    """Writes a report of tables alone, and prints them."""
    from pt4al_backend.bench import report

    path = report.document(to, name, (f"# {title}", report.fenced(command_line())), parts, draw=False)
    out.print("\n\n".join(each.markdown(drawn=False) for each in parts))
    out.print(f"\nReport: {path}")


def pool_estimate(
    to: Annotated[Path, typer.Argument(help="Output folder of finished runs on the features of a frozen encoder.")],
    arm: Annotated[str, typer.Option(help="Arm whose models are measured.")] = "PT4AL, 2 batches, herding",
    draws: Annotated[int, typer.Option(min=1, help="How often the control picks of each model are drawn.")] = 500,
) -> None:
    """Whether the pool estimate is unbiased and how exact it is, by redrawing the control picks of finished runs."""
    from pt4al_backend.bench import pool_estimate as simulation
    from pt4al_backend.bench.truth import Truth

    found = list(simulation.models(to, Truth.load(to / "data"), arm))
    _report(to, "pool-estimate", "Pool estimate", simulation.sections(found, draws))


def served(
    to: To,
    data: Data,
    dataset: Annotated[str, typer.Option(help="A data set of classification, as `pt4al bench datasets` has it.")] = "digits",
    pool: Part = None,
    test: Tested = None,
    common: Common = "{}",
    labels: Annotated[list[int], typer.Option(min=30, help="Labels that are compared by; several times.")] = LABELS,
    seeds: Annotated[int, typer.Option(min=1, help="How many draws of labels, of pool and of test images.")] = 3,
    first_seed: FirstSeed = 0,
    device: Device = "auto",
) -> None:
    """How often the model that cross-validation on the labels chooses to be served is the better one on test images."""
    from pt4al_backend.bench import served as analysis

    require_task(dataset, data, None, "classification")
    arm = Arm("served", settings_of(common))
    chosen = Chosen(to, to, data, dataset, None, pool, test, device, image_size([arm]), redraw=True)
    truth = chosen.truth()
    options = [arm.options(**truth.params, seed=seed) for seed in range(first_seed, first_seed + seeds)]
    for line in analysis.run(to, truth, options, labels, device):
        found = f"cross-validated head {line.head:.1%}, full {line.full:.1%}; tested {line.head_test:.1%}, {line.full_test:.1%}"
        out.print(f"seed {line.seed}, {line.labels} labels: {found}; {'full' if line.full_wins else 'the head'} is served")
    _report(to, "served", "Which model is served", [analysis.section(analysis.read(to))])


def random_picks(
    to: Annotated[Path, typer.Argument(help="Output folder of finished runs on the features of a frozen encoder.")],
    seeds: Annotated[int, typer.Option(min=1, help="How often control picks are drawn.")] = 20,
) -> None:
    """Whether the control picks can say what random picks would have given, by heads that learn a part of them."""
    from pt4al_backend.bench import random_picks as simulation
    from pt4al_backend.bench.truth import Truth

    truth = Truth.load(to / "data")
    heads = simulation.Heads(to, truth)
    found = [each for seed in range(seeds) for each in simulation.estimates(heads, truth, seed)]
    _report(to, "random-picks", "Random picks, by control picks", simulation.sections(found, seeds))


COMMANDS: dict[str, Callable[..., None]] = {
    "loss-rank": loss_rank,
    "t-sne": t_sne,
    "choose": choose,
    "forecast": forecast,
    "pool-estimate": pool_estimate,
    "random-picks": random_picks,
    "served": served,
}

#: What the help of each shows.
EXAMPLES: dict[str, str] = {
    "loss-rank": "`pt4al bench loss-rank out --data DIR --preset quick`: trains, and writes the correlation into the folder out.",
    "t-sne": "`pt4al bench t-sne mine --arm random --arm pt4al`: draws what two arms of the runs in the folder mine queried.",
    "choose": "`pt4al bench choose digits caltech101`: weighs the runs in two folders.",
    "forecast": "`pt4al bench forecast out --seeds 20`: writes into the folder out.",
    "pool-estimate": "`pt4al bench pool-estimate mine`: reads the runs in the folder mine.",
    "random-picks": "`pt4al bench random-picks mine`: reads the runs in the folder mine.",
    "served": "`pt4al bench served out --dataset digits --data . --labels 30 --labels 100`: compares at two numbers of labels.",
}
