"""Output folders of benchmark runs, written without running anything."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.bench import statistics
from pt4al_backend.bench.records import RECORDS
from pt4al_backend.bench.statistics import Curves, Seeds

SECONDS = {"rank": 100.0, "query": 0.5, "train": 40.0, "score": 10.0}


def curves(values: Mapping[str, Mapping[int, Mapping[int, float]]]) -> Curves:
    """Curves from arm -> seed -> labels -> value."""
    return statistics.curves(
        (arm, seed, labels, value)
        for arm, seeds in values.items()
        for seed, curve in seeds.items()
        for labels, value in curve.items()
    )


def seeds(values: Mapping[int, Mapping[int, float]]) -> Seeds:
    """Curves of one arm from seed -> labels -> value."""
    return statistics.of(curves({"arm": values}), "arm")


def record(seed: int, number: int, labels: int, value: float | None, **more: Any) -> dict[str, Any]:
    """The record of a round, as the oracle writes it; unless told else, each round asked as many rows, the lowest first."""
    query = list(range(labels * (number - 1) // number, labels))
    metrics = {"metric": "accuracy", "value": value, "low": value, "high": value, "total": 1000}
    known = {"strategy": "random", "seed": seed, "round": number, "labels": labels, **metrics, "seconds": SECONDS, "query": query}
    made = {"init": "fresh", "settings": {"query_size": 10, "seed": seed}, "version": "0.1.0", "torch": "2.15.0", "device": "cpu"}
    return {**known, **made, **more}


def write(folder: Path, arms: Mapping[str, Mapping[int, Sequence[float]]], step: int = 10, **more: Any) -> Path:
    """Runs whose rounds of ``step`` labels each gave these values, by arm and seed."""
    for arm, seeds in arms.items():
        for seed, values in seeds.items():
            rounds = [record(seed, i, step * i, value, **more) for i, value in enumerate(values, 1)]
            write_rounds(folder, arm, seed, rounds)
    return folder


def write_rounds(folder: Path, arm: str, seed: int, rounds: Sequence[Mapping[str, Any]]) -> Path:
    """The file of one run."""
    path = folder / "arms" / arm / f"seed-{seed}" / RECORDS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in rounds))
    return path


def write_classes(folder: Path, labels: Sequence[str], pool: int) -> None:
    """A data set of images with these classes, as far as a report reads it."""
    facts = {
        "task": "classification",
        "classes": sorted(set(labels)),
        "shape": (8, 8),
        "stored": (8, 8),
        "pool": pool,
        "params": {},
        "source": "classes alone",
    }
    with artefacts.writing(folder / "data", **facts) as draft:
        np.save(draft / "labels.npy", np.array(labels, np.str_))
        np.save(draft / "ids.npy", np.arange(len(labels)).astype(np.str_))
        (draft / "pixels.u8").touch()


def unpadded(text: str) -> str:
    """Tables without the spaces that align their columns."""
    return re.sub(r" {2,}", " ", text)
