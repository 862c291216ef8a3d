"""What strategies take to query a large pool: seconds, and memory, which a matrix of all pairs of images would exhaust.

PT4AL is measured, and every strategy that compares images by the model's features, here random ones in clusters. Seconds are
those of a run whose memory is traced, which costs the shortest of them a quarter.
"""

import time
import tracemalloc
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import ProjectSettings, project_settings
from pt4al_backend.config.catalog import STRATEGIES
from pt4al_backend.learn.frozen.heads import DROPS
from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.plan import (
    StoredOutput,
    choose,
    fit_schedule,
    needs_of,
    strategy_of,
)
from pt4al_backend.query.ranking import cut_batches
from pt4al_backend.query.strategies import Pool, Request

POOL, LABELLED = 100_000, 2_000
FEATURES, CLASSES = 512, 10  # ResNet-18 at its published width, CIFAR-10
ROUND = 2
MB = 1e6


def measure(_: Workbench) -> list[Line]:
    """A query with its reserve, at the default sizes, by a model that scored all that the strategy wants."""
    rng = np.random.default_rng(0)
    ids, losses = np.arange(POOL, dtype=np.int64), rng.exponential(size=POOL)
    pool = Pool(ids, losses, cut_batches(ids, losses, project_settings({}).rounds, 0))
    posteriors = rng.dirichlet(np.ones(CLASSES), POOL)
    centres = rng.normal(size=(CLASSES, FEATURES))
    features, labelled = (_near(centres, count, rng) for count in (POOL, LABELLED))
    scores = {**confidences(posteriors), "drop_consistency": rng.integers(0, DROPS + 1, POOL) / DROPS}
    known = StoredOutput(ids, scores, np.full(POOL, ""), features, labelled, posteriors.astype(np.float16))
    covering = [{"strategy": name} for name in STRATEGIES if "features" in needs_of(project_settings({"strategy": name}))]
    return [_measure(project_settings(each), pool, known) for each in ({}, {"sampler": "k_center"}, *covering)]


def _near(centres: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float16]:
    """Features as a job keeps them, none below 0."""
    found = centres[rng.integers(0, len(centres), count)]
    return np.maximum(found + rng.normal(size=found.shape), 0).astype(np.float16)


def _measure(options: ProjectSettings, pool: Pool, known: StoredOutput) -> Line:
    schedule = fit_schedule(len(pool.ids), options)
    strategy = strategy_of(options, schedule.batches)
    count = schedule.query + schedule.reserve
    candidates = strategy.candidates(pool, ROUND, count)
    scored = _part(known, candidates, strategy.needs)
    tracemalloc.start()
    try:
        began = time.perf_counter()
        choose(strategy, Request(pool, ROUND, schedule.query, count, np.random.default_rng(0)), scored)
        took, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    name = f"{options.strategy}, {options.rules().sampler}" if options.strategy == "pt4al" else options.strategy
    by = f", {FEATURES} features" if "features" in strategy.needs else ""
    note = f"{count:,} of {len(candidates):,} candidates{by}, at most {peak / MB:,.0f} MB"
    return Line(f"querying {len(pool.ids):,} tasks, {name}", took, "s", note=note)


def _part(known: StoredOutput, rows: NDArray[np.int64], needs: Collection[str]) -> StoredOutput:
    """What a job keeps for a strategy that needs no more than this of its candidates."""
    arrays = {name: getattr(known, name)[rows] if name in needs else None for name in ("features", "posteriors")}
    confidences = {name: values[rows] for name, values in known.confidences.items()}
    return StoredOutput(
        known.ids[rows], confidences, known.labels[rows], **arrays, labelled=known.labelled if "features" in needs else None
    )
