"""Seconds of whole runs by part, so that arms with as many rounds are compared. Pure.

The ranking is counted once for a run whose strategy or initial weights have a use for it: the record of each round repeats
its seconds.
"""

from collections.abc import Mapping, Sequence

from pt4al_backend.bench.records import Record

#: The part that a run has once; the others come with each round.
RANK = "rank"

#: part -> seconds of a whole run
Parts = Mapping[str, float]


def common_rounds(arms: Mapping[str, Sequence[Record]]) -> int:
    """The most rounds that some run of every arm has."""
    return min((max(map(len, _runs(rounds).values())) for rounds in arms.values()), default=0)


def seconds(rounds: Sequence[Record], count: int) -> dict[int, Parts]:
    """Seconds by part over the first ``count`` rounds, by seed, of the runs that have them all."""
    found: dict[int, Parts] = {}
    for seed, run in _runs(rounds).items():
        first = [run[number].seconds for number in range(1, count + 1) if number in run]
        if first and len(first) == count:
            parts = dict.fromkeys(part for each in first for part in each)
            total = {part: sum(each.get(part, 0.0) for each in first) for part in parts}
            found[seed] = {**total, RANK: first[0].get(RANK, 0.0)}
    return found


def _runs(rounds: Sequence[Record]) -> dict[int, dict[int, Record]]:
    """Rounds by seed and number."""
    runs: dict[int, dict[int, Record]] = {}
    for record in rounds:
        runs.setdefault(record.seed, {})[record.round] = record
    return runs
