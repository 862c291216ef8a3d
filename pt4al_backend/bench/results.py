"""What the runs of a folder gave, as the report needs it."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pt4al_backend.bench import costs, statistics
from pt4al_backend.bench.balance import Balance, Balances, balances
from pt4al_backend.bench.costs import Costs
from pt4al_backend.bench.records import ARMS, Found, Record, comparable, difference, read
from pt4al_backend.bench.statistics import Curves
from pt4al_backend.errors import ConfigError, StoreCorrupt

if TYPE_CHECKING:
    from pt4al_backend.bench.truth import Truth

DATA = "data"


@dataclass(frozen=True)
class Results:
    """The finished rounds of all arms, of which the baseline comes first.

    Attributes:
        folder: of the runs.
        found: their records.
        baseline: the arm that the others are compared with; there may be none of that name.
        balances: of the queries; empty where images have no class each, or the data set is gone.
        pool: entropy of the whole pool's classes, NaN if ``balances`` is empty.
    """

    folder: Path
    found: Found
    baseline: str
    balances: Balances
    pool: float

    @classmethod
    def read(cls, folder: Path, baseline: str) -> "Results":
        """Reads records, and classes from the data set beside them.

        Raises:
            ConfigError: there are no records, or some of one arm were made with other settings than the rest.
        """
        truth = _truth(folder / DATA)
        found = read(folder, truth.end if truth else math.inf)
        if not found.arms:
            corrupt = f", and {sum(found.corrupt.values())} corrupt lines" if found.corrupt else ""
            raise ConfigError(f"There are no finished rounds in {folder}{corrupt}.", "Name the output folder of pt4al bench run.")
        for arm, rounds in found.arms.items():
            _require_alike(folder, arm, rounds)
        arms = {arm: found.arms[arm] for arm in sorted(found.arms, key=lambda arm: (arm != baseline, _by_number(arm), arm))}
        return cls(folder, replace(found, arms=arms), baseline, *_balances(truth, arms))

    def only(self, arms: Collection[str]) -> "Results":
        """The same of these arms."""
        shown = {arm: rounds for arm, rounds in self.found.arms.items() if arm in arms}
        balances = self.balances[self.balances["arm"].isin(arms)]
        return replace(self, found=replace(self.found, arms=shown), balances=balances)

    @property
    def records(self) -> list[Record]:
        """Of all arms."""
        return [record for rounds in self.found.arms.values() for record in rounds]

    @property
    def curves(self) -> Curves:
        """Test values, of the arms that have any."""
        return self._curves("value")

    @property
    def balanced(self) -> Curves:
        """Balanced accuracies on the test, of the arms that have any."""
        return self._curves("balanced")

    def _curves(self, name: str) -> Curves:
        found = ((arm, each, getattr(each, name)) for arm, rounds in self.found.arms.items() for each in rounds)
        return statistics.curves((arm, each.seed, each.labels, value) for arm, each, value in found if value is not None)

    @property
    def entropies(self) -> Curves:
        """Of the queries' classes."""
        return statistics.curves(self.balances[["arm", "seed", "labels", "entropy"]].itertuples(index=False))

    @property
    def seconds(self) -> tuple[int, Costs]:
        """How many rounds the arms have in common, and the seconds that these took."""
        count = costs.common_rounds(self.found.arms)
        return count, costs.seconds(self.found.arms, count)


def _require_alike(folder: Path, arm: str, rounds: list[Record]) -> None:
    settings = dict(rounds[0].settings)
    for record in rounds:
        if differing := difference(*comparable(record, settings, rounds[0].arm)):
            what = f"Seed {record.seed} of {arm!r} was run with other settings than those before it: {differing}."
            raise ConfigError(what, f"Move those that do not belong there out of {folder / ARMS / arm}.")
        settings |= record.settings


def _by_number(name: str) -> str:
    """What sorts names as people do: batch 2 before batch 10."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), name.casefold())


def _truth(data: Path) -> "Truth | None":
    from pt4al_backend.bench.truth import Truth

    try:
        return Truth.load(data)
    except StoreCorrupt:
        return None


def _balances(truth: "Truth | None", arms: Mapping[str, list[Record]]) -> tuple[Balances, float]:
    if truth is None or truth.task != "classification":
        return balances({}, np.empty(0, np.str_), ()), math.nan
    pool = Balance.of(truth.labels[truth.rows].tolist(), truth.classes)  # other draws have as many images of each class
    return balances(arms, truth.labels, truth.classes), pool.entropy
