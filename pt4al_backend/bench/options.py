"""Options that the commands of ``pt4al bench`` share, and the data set that they name."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pt4al_backend.aliases import Json
from pt4al_backend.bench.arms import SEEDS
from pt4al_backend.config import server_settings
from pt4al_backend.config.catalog import DATASETS, MAIN_TASK_FACTS
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.errors import ConfigError

if TYPE_CHECKING:
    from pt4al_backend.bench.truth import Truth
    from pt4al_backend.datasets.dataset import Dataset

out = Console(highlight=False, soft_wrap=True, markup=False)


To = Annotated[Path, typer.Argument(help="Output folder; a run that was stopped resumes from what is there.")]
Data = Annotated[
    Path, typer.Option("--data", "--images", help="Folder of the data set, or one that holds it as `pt4al bench datasets` says.")
]
Masks = Annotated[Path | None, typer.Option(help="Folder of the masks, for segmentation of a folder of your own.")]
Part = Annotated[int | None, typer.Option(min=1, help="Images of the pool that are used, stratified by class; else all.")]
Tested = Annotated[int | None, typer.Option(min=1, help="Test images that are used; else all.")]
FirstSeed = Annotated[int, typer.Option(min=0, help="The first seed: two processes may share a folder by running other seeds.")]
Redraw = Annotated[bool, typer.Option(help="Each seed draws its own pool and test from all images, as many of each class.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Limit = Annotated[float, typer.Option(min=0, help="Seconds after which work stops as soon as it can be resumed; 0: none.")]
Rankings = Annotated[
    Path | None, typer.Option(help="Folder of the rankings, which several output folders may share; else the output folder.")
]
Common = Annotated[str, typer.Option("--settings", help="Settings of all arms, as JSON; they win over a preset's.")]


def require_task(dataset: str, data: Path, masks: Path | None, task: str) -> None:
    """Refuses a data set that is not of a main task, before anything of it is read.

    Raises:
        ConfigError: it is not, or there is none of that name.
    """
    theirs = DATASETS.load(dataset, Loader)().task(data, masks)
    if theirs != task:
        remedy = "Choose another --dataset; `pt4al bench datasets` says what a folder of your own has to hold."
        found, wanted = (MAIN_TASK_FACTS[each].noun for each in (theirs, task))
        raise ConfigError(f"The data set {dataset!r} is one of {found}, and this is about {wanted}.", remedy)


def settings_of(text: str) -> Json:
    """What --settings says.

    Raises:
        ConfigError: it is no JSON object, or sets the seed.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--settings is not JSON ({error}).", 'Write an object such as {"epochs": 10}.') from error
    if not isinstance(given, dict):
        raise ConfigError(f"--settings is {given!r}, not an object.", 'Write an object such as {"epochs": 10}.')
    if "seed" in given:
        raise ConfigError("The setting 'seed' is not one of --settings here.", SEEDS)
    return given


def command_line() -> str:
    """The command that this process was started with, as a report repeats it."""
    return shlex.join(["pt4al", *sys.argv[1:]])


@dataclass(frozen=True)
class Chosen:
    """A data set and a part of it, for the output folder ``to``; ``rankings`` is where those of its pool are kept.

    ``pool`` and ``test`` are what the user gives; where that is nothing, ``preset`` says how many images of each are used,
    or all if there are fewer.
    """

    to: Path
    rankings: Path
    data: Path
    dataset: str
    masks: Path | None
    pool: int | None
    test: int | None
    device: str
    image_size: int | None
    preset: tuple[int | None, int | None] = (None, None)
    redraw: bool = False

    def truth(self) -> "Truth":
        """The data set, decoded into the output folder unless it is there already; one that nothing was run on is replaced.

        Raises:
            ConfigError: there is another one that something was run on, it cannot be read, or there is no such device.
            TrainingImpossible: there is no GPU, and one is required.
        """
        from pt4al_backend import artefacts
        from pt4al_backend.bench.locks import held
        from pt4al_backend.bench.loss_rank import FILE as LOSS_RANKS
        from pt4al_backend.bench.records import ARMS
        from pt4al_backend.bench.served import FILE as SERVED
        from pt4al_backend.bench.truth import Truth, write
        from pt4al_backend.learn import devices

        devices.choose(self.device)  # which the runs would refuse, once all is decoded
        folder = self.to / "data"
        where = {"data": str(self.data.absolute()), "masks": str(self.masks.absolute()) if self.masks else None}
        pool, test = self.pool or self.preset[0], self.test or self.preset[1]
        named = {"dataset": self.dataset, **where, "pool": pool, "test": test, "image_size": self.image_size}
        named |= {"redraw": True} if self.redraw else {}  # data sets of earlier versions do not say it
        with held(folder, wait=True):
            if artefacts.is_complete(folder):
                manifest = artefacts.manifest(folder)
                there = manifest.get("wanted", manifest.get("asked"))  # as folders of earlier versions have it
                if there == named:
                    return Truth.load(folder)
                if any((self.to / name).exists() for name in (ARMS, LOSS_RANKS, SERVED)):
                    message = f"{folder} holds another data set, {json.dumps(there)} and not {json.dumps(named)}."
                    raise ConfigError(message, "Name another output folder, or delete this one.")
            settings = server_settings(device=self.device)
            most = settings.image_max_pixels
            found = self._part(DATASETS.load(self.dataset, Loader)().read(self.data, self.masks, most))
            gpu, size = settings.has_gpu, self.image_size
            return write(folder, found, gpu=gpu, image_size=size, max_pixels=most, wanted=named, redraw=self.redraw)

    def _part(self, whole: "Dataset") -> "Dataset":
        """What is used of a data set, which is printed, with what the preset would take of a larger one."""
        counts: dict[str, int | None] = {}
        fewer: list[str] = []
        for side, given, most in zip(("pool", "test"), (self.pool, self.test), self.preset, strict=True):
            there = len(getattr(whole, side))
            counts[side] = given or (most and min(most, there))
            if not given and most and most > there:
                fewer.append(f"{most:,} for the {side}")
        found = whole.part(**counts)
        note = f" That is all there is: the preset takes {' and '.join(fewer)}." if fewer else ""
        out.print(f"{found.source}: {len(found.pool):,} images for the pool, {len(found.test):,} for the test.{note}")
        return found
