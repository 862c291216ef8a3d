"""Memory of a round on features: a head is trained, and all images of the pool are scored and kept for the query."""

import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.bench.numbers.footprint import forget_peak, peak
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import project_settings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs import head
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.head import EncoderFile
from pt4al_backend.jobs.job import Job
from pt4al_backend.jobs.spec import LearnSpec
from pt4al_backend.learn.frozen.feature_file import blocks
from pt4al_backend.learn.frozen.heads import warm_up
from pt4al_backend.query import plan

POOLS = (1_000, 10_000, 100_000)
LABELS, CLASSES, FEATURES = 200, 10, 1_280
SHAPE = (8, 8)
MB = 1e6


def measure(bench: Workbench) -> list[Line]:
    """A line for each size of the pool."""
    warm_up()
    return [_measure(bench.folder / f"heads-{count}", count) for count in POOLS]


def _measure(folder: Path, count: int) -> Line:
    settings = project_settings({"encoder": "written"})
    classes = tuple(map(str, range(CLASSES)))
    weights = {"encoder": "written", "sha256": "a" * 64, "features": FEATURES}
    facts = {"normalisation": {}, "device": "cpu", "init": "pretrained", "weights": weights}
    with artefacts.writing(folder / "rank" / "result", settings=settings.model_dump(mode="json"), network={}, **facts) as learner:
        (learner / artefacts.WEIGHTS).write_bytes(b"")
    spec = LearnSpec(
        task="classification",
        settings=settings,
        device="cpu",
        pretrained="off",
        frames=folder / "frames.u8",
        stored=SHAPE,
        shape=SHAPE,
        learner=folder / "rank" / "result",
        classes=classes,
        **asdict(plan.job_requirements(settings, plan.fit_schedule(count, settings).query)),
    )
    encoder = EncoderFile.of(spec.learner, "written")
    if encoder is None:
        raise TypeError("the learner that was written names no encoder")
    rng = np.random.default_rng(0)
    with FrameFile(spec.frames, SHAPE) as frames, encoder.file(spec) as file:
        for block in blocks(np.arange(count)):
            file.write(block, rng.normal(size=(len(block), 1, FEATURES)).astype(np.float16), frames)
    rows = np.arange(count)
    names = np.array([classes[row % CLASSES] for row in range(LABELS)], np.str_)
    train = {"rows": rows[:LABELS], "labels": names}
    control = {"rows": rows[:0], "labels": names[:0]}
    prepare(folder / "learn", spec, train=train, control=control, candidates=rows[LABELS:], candidate_ids=rows[LABELS:])
    job: Job[LearnSpec] = Job.read(folder / "learn")
    before, began = forget_peak(), time.perf_counter()
    with job.scratch() as scratch:
        head.learn(job, encoder, scratch)
    held, took = peak(os.getpid()) - before, time.perf_counter() - began
    size = 2 * FEATURES * count
    note = f"their features are {size / MB:,.0f} MB, which the query gets; {took:.1f} s"
    return Line(f"memory of a round on the features of {count:,} images, beside the process's own", held / MB, "MB", note=note)
