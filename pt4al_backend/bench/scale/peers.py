"""What two processes under torchrun bring, on one core each, against one: features of an encoder, and a pretext training."""

import os
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from pt4al_backend.bench.numbers.scoring import place, stored
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import ENCODER, Workbench
from pt4al_backend.bench.scale.rates import Rate
from pt4al_backend.config import ProjectSettings, project_settings
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.run import LocalRunner
from pt4al_backend.jobs.spec import RankSpec
from pt4al_backend.phases import Phase

SIDE, FEATURES, TRAINED, EPOCHS = 64, 384, 1_024, 3
AT_LEAST = 1.8
TORCHRUN = ("torchrun", "--standalone", "--nproc-per-node=2", "--no-python")


def measure(bench: Workbench) -> list[Line]:
    """Images a second of two processes as a multiple of one's."""
    features = project_settings({"encoder": ENCODER})
    pretext = project_settings({"encoder": "resnet18", "pretext_epochs": EPOCHS})
    return [
        _line(bench, f"features of {ENCODER}", features, FEATURES, Phase.FEATURES),
        _line(bench, f"pretext training of {EPOCHS} epochs", pretext, TRAINED, Phase.PRETEXT),
    ]


def _line(bench: Workbench, what: str, settings: ProjectSettings, count: int, phase: Phase) -> Line:
    one, two = (_rate(bench, settings, count, phase, launcher) for launcher in ((), TORCHRUN))
    note = f"{two:,.0f} against {one:,.0f} images/s, n = {count:,}, n = 1"
    return Line(f"{what}: two processes under torchrun, as a multiple of one", two / one, "", AT_LEAST, at_least=True, note=note)


def _rate(bench: Workbench, settings: ProjectSettings, count: int, phase: Phase, launcher: Sequence[str]) -> float:
    _, shape, frame = place("classification", SIDE)
    folder, rate = bench.folder / f"peers-{phase}-{len(launcher)}", Rate(phase)
    spec = RankSpec(
        task="classification",
        settings=settings,
        device="cpu",
        pretrained="auto",
        frames=_frames(bench, folder, frame, count),
        stored=frame,
        shape=shape,
    )
    prepare(folder / "job", spec, rows=np.arange(count))
    with patch.dict(os.environ, OMP_NUM_THREADS="1"):
        LocalRunner(launcher).run(folder / "job", rate, lambda: None)
    return rate.per_second


def _frames(bench: Workbench, folder: Path, frame: tuple[int, int], count: int) -> Path:
    """A frame file of this folder's own: what is computed of it lies beside it."""
    found = stored(bench, frame, count)
    folder.mkdir(parents=True)
    for file in found.parent.glob(f"{found.name}*"):
        (folder / file.name).symlink_to(file)
    return folder / found.name
