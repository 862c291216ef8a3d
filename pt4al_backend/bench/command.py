"""``pt4al bench``: strategies side by side on data with known labels, with an oracle in place of annotators.

An arm is a name and the settings that set it apart: ``--arm 'margin={"strategy": "margin"}'``. Each arm and seed has a
folder of its own below the output folder; what is finished there is not run again.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from pt4al_backend.bench.truth import Truth

app = typer.Typer(add_completion=False, no_args_is_help=True, help=(__doc__ or "").partition("\n")[0])
out = Console(highlight=False, soft_wrap=True, markup=False)

Json = dict[str, Any]

#: Of an arm: the strategy of its first query, for those that the literature starts uniformly.
FIRST = "first"


@app.command()
def run(
    to: Annotated[Path, typer.Argument(help="Output folder; a run that was stopped goes on from what is there.")],
    data: Annotated[Path, typer.Option("--data", "--images", help="Folder of the data set, or one that holds it by its name.")],
    arm: Annotated[list[str], typer.Option(help='Name and settings: \'random={"strategy": "random"}\'. Give it several times.')],
    dataset: Annotated[str, typer.Option(help="Name of the data set, as `pt4al bench datasets` has it.")] = "folder",
    masks: Annotated[Path | None, typer.Option(help="Folder of the masks, for segmentation of a folder of your own.")] = None,
    pool: Annotated[
        int | None, typer.Option(min=1, help="Images of the pool that are used, stratified by class; else all.")
    ] = None,
    test: Annotated[int | None, typer.Option(min=1, help="Test images that are used; else all.")] = None,
    common: Annotated[str, typer.Option("--settings", help="Settings of all arms, as JSON.")] = "{}",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each run.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, … of each arm.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    time_limit: Annotated[float, typer.Option(help="Seconds after which no further round is begun; 0: none.")] = 0.0,
) -> None:
    """Runs the rounds of every arm and seed, seed by seed, and prints the table."""
    from pt4al_backend.bench.oracle import Run, ranking_name
    from pt4al_backend.settings import project_settings

    began = time.monotonic()
    asked = {"dataset": dataset, "pool": pool, "test": test}
    truth = _truth(to / "data", asked, data, masks, device, project_settings(common).image_size)
    arms = dict(_arm(text, json.loads(common)) for text in arm)
    for seed in range(seeds):
        for name, (first, params) in arms.items():
            options = project_settings({**truth.params, **params, "rounds": params.get("rounds", rounds), "seed": seed})
            ranking = to / ranking_name(truth.task, options, device)
            one = Run(to / "arms" / name / f"seed-{seed}", truth, options, ranking, first=first, device=device)
            for record in one(rounds, go_on=lambda: not time_limit or time.monotonic() - began < time_limit):
                took = sum(record["seconds"].values())
                out.print(
                    f"{name}, seed {seed}: {record['labels']} labels, {record['metric']} {record['value']:.1%}, {took:.0f} s"
                )
    report(to, figures=False)


@app.command()
def report(
    to: Annotated[Path, typer.Argument(help="Output folder of runs.")],
    baseline: Annotated[str, typer.Option(help="Arm that the others are compared with, seed by seed.")] = "random",
    figures: Annotated[bool, typer.Option(help="Draw figures, which needs matplotlib.")] = True,
) -> None:
    """Writes tables and figures below the output folder, and prints mean ± sd and the paired differences to the baseline."""
    from pt4al_backend.bench import report as reports
    from pt4al_backend.bench.results import Results

    results = Results.read(to, baseline)
    sections = list(reports.sections(results))
    path = reports.write(results, sections, draw=figures)
    for section in sections[:2]:
        out.print(f"{section.markdown(drawn=False)}\n")
    out.print("\n".join(filter(None, (reports.skipped(results), f"All tables: {path}"))))


@app.command("datasets")
def datasets_() -> None:
    """Prints the data sets that have a name: what they are, where to get them, how their folder has to look."""
    from pt4al_backend import datasets

    for name in datasets.DATASETS:
        loader = datasets.load(name)
        lines = "".join(f"\n    {line}" for line in loader.layout)
        out.print(f"{name}: {loader.about}\n  from {loader.origin}\n  --data names a folder that holds{lines}\n")


def _arm(text: str, common: Json) -> tuple[str, tuple[str, Json]]:
    name, _, params = text.partition("=")
    given = {**common, **json.loads(params or "{}")}
    return name, (str(given.pop(FIRST, "")), given)


def _truth(folder: Path, asked: Json, data: Path, masks: Path | None, device: str, image_size: int | None) -> "Truth":
    """The data set that is asked for, decoded into ``folder`` unless it is there already."""
    from pt4al_backend import artefacts, datasets
    from pt4al_backend.bench.truth import Truth, write
    from pt4al_backend.errors import ConfigError
    from pt4al_backend.intake import has_gpu
    from pt4al_backend.settings import server_settings

    if artefacts.is_complete(folder):
        there = artefacts.manifest(folder).get("asked")
        if there != asked:
            message = f"{folder} holds another data set, {json.dumps(there)} and not {json.dumps(asked)}."
            raise ConfigError(message, "Name another output folder, or delete this one.")
        return Truth.load(folder)
    settings = server_settings(device=device)
    max_pixels = settings.image_max_pixels
    found = datasets.load(asked["dataset"]).read(data, masks, max_pixels).part(asked["pool"], asked["test"])
    out.print(f"{found.source}: {len(found.pool):,} images for the pool, {len(found.test):,} for the test.")
    return write(folder, found, gpu=has_gpu(settings), image_size=image_size, max_pixels=max_pixels, asked=asked)
