"""Seconds of whole runs by part, so that arms with as many rounds are compared. Pure.

The ranking is counted once for a run whose strategy or initial weights use it: the record of each round repeats its seconds.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pandas as pd

from pt4al_backend.bench.records import RANK, Record

#: Seconds of whole runs: a row for each (arm, seed), a column for each part.
Costs: TypeAlias = pd.DataFrame


def common_rounds(arms: Mapping[str, Sequence[Record]]) -> int:
    """The most rounds that some run of every arm has."""
    runs = pd.Series(
        [record.round for rounds in arms.values() for record in rounds],
        pd.MultiIndex.from_tuples(
            [(arm, record.seed) for arm, rounds in arms.items() for record in rounds], names=["arm", "seed"]
        ),
    )
    return int(runs.groupby(level=["arm", "seed"]).nunique().groupby(level="arm").max().min())


def seconds(arms: Mapping[str, Sequence[Record]], count: int) -> Costs:
    """Seconds by part over the first ``count`` rounds, of the runs that have them all."""
    rounds = pd.DataFrame(
        [
            {"arm": arm, "seed": record.seed, **{RANK: 0.0}, **record.seconds}
            for arm, records in arms.items()
            for record in records
            if record.round <= count
        ]
    ).fillna(0.0)
    runs = rounds.groupby(["arm", "seed"], sort=False)
    total = runs.sum()
    total[RANK] = runs[RANK].first()
    return total[runs.size() == count]
