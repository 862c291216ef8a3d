"""What arms queried, on a map of the pool: t-SNE (van der Maaten and Hinton 2008) of a supervised network's features.

PT4AL, fig. 4. The network learned the whole pool with its labels, so the map is that of an oracle: no arm knew it. It shows a
part of the pool that is stratified by class, and of each query those images that are in this part: their density is the query's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.bench import figures, supervised, tables
from pt4al_backend.bench.records import Record, read
from pt4al_backend.bench.report import Section, skipped
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.datasets import strata
from pt4al_backend.errors import ConfigError
from pt4al_backend.progress import Report, silent

MOST_ARMS = 4
PERPLEXITY = 30.0  # scikit-learn's default
NOTE = (
    "t-SNE of the features that a network has of {points:,} images of the pool of {pool:,}, stratified by class. It learned the "
    "whole pool with its labels; none of the arms knew it. Seed {seed}. The table says how many images of each query are shown."
)


@dataclass(frozen=True)
class Map:
    """Rows of the pool, ascending, their places [n, 2], and the queries by arm and round as rows.

    ``skipped`` says which lines of the runs are corrupt.
    """

    pool: int
    seed: int
    rows: Ids
    places: NDArray[np.float32]
    queries: Mapping[str, Mapping[int, Ids]]
    skipped: str

    def section(self) -> Section:
        """Of a report."""
        shown = {arm: {number: self._shown(query) for number, query in rounds.items()} for arm, rounds in self.queries.items()}
        numbers = list(next(iter(shown.values())))
        rows = [
            [arm, *(f"{len(shown[arm][number]):,} of {len(self.queries[arm][number]):,}" for number in numbers)] for arm in shown
        ]
        panels = {arm: {f"round {number}": each for number, each in rounds.items()} for arm, rounds in shown.items()}
        note = NOTE.format(points=len(self.rows), pool=self.pool, seed=self.seed)
        table = tables.table(["arm", *(f"round {number}" for number in numbers)], rows)
        return Section("Queries on a map of the pool", note, table, "t-sne", partial(figures.embedding, self.places, panels))

    def _shown(self, query: Ids) -> Ids:
        return np.flatnonzero(np.isin(self.rows, query))


def draw(to: Path, rankings: Path, arms: Sequence[str], seed: int, most: int, device: str, report: Report = silent) -> Map:
    """The map for the arms of finished runs, all of them unless some are named; the network learns with the first one's settings.

    Raises:
        ConfigError: there are no such runs, too many arms, or no round that all of them have.
        StoreCorrupt: the data set beside the runs is missing or damaged.
    """
    truth = Truth.load(to / "data").of_seed(seed)
    supervised.require_classes(truth)
    found = read(to, truth.end)
    runs = chosen(found.arms, arms, seed)
    queries = compared_queries(runs)
    settings = project_settings(next(iter(runs.values()))[0].settings)
    model = supervised.train(rankings, truth, settings, device, report)
    rows = np.sort(truth.rows[strata.order(truth.labels[truth.rows].tolist(), seed)[:most]])
    features, _ = supervised.look(model, truth, rows, device, report)
    return Map(truth.pool, seed, rows, places(features, seed), queries, skipped(to, found.corrupt))


def chosen(found: Mapping[str, Sequence[Record]], arms: Sequence[str], seed: int) -> dict[str, list[Record]]:
    """The rounds of these arms, or of all, with one seed.

    Raises:
        ConfigError: an arm or its seed is missing, or there are too many.
    """
    runs = {arm: [record for record in rounds if record.seed == seed] for arm, rounds in found.items()}
    known = ", ".join(sorted(arm for arm in runs if runs[arm])) or "none"
    names = list(dict.fromkeys(arms)) or [arm for arm in runs if runs[arm]]
    missing = [arm for arm in names if not runs.get(arm)]
    if missing or not names:
        of_whom = ", ".join(missing) or "any arm"
        raise ConfigError(f"There are no finished rounds of {of_whom} with seed {seed}.", f"Arms that have some: {known}.")
    if len(names) > MOST_ARMS:
        raise ConfigError(f"{len(names)} arms are more than there are panels.", f"Name up to {MOST_ARMS} with --arm, of {known}.")
    return {arm: runs[arm] for arm in names}


def compared_queries(runs: Mapping[str, Sequence[Record]]) -> dict[str, dict[int, Ids]]:
    """What each arm queried in the first, the middle and the last of the rounds that all of them have: rows by number.

    Raises:
        ConfigError: there is no such round.
    """
    found = {arm: {record.round: np.array(record.query, np.int64) for record in rounds} for arm, rounds in runs.items()}
    common = sorted(set.intersection(*(set(rounds) for rounds in found.values())))
    if not common:
        raise ConfigError(f"No round is finished in all of {', '.join(found)}.", "Name arms that have some in common with --arm.")
    numbers = dict.fromkeys((common[0], common[(len(common) - 1) // 2], common[-1]))
    return {arm: {number: rounds[number] for number in numbers} for arm, rounds in found.items()}


def places(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """t-SNE of features [n, d]: [n, 2], from their principal components, the same for a seed on one machine."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)  # it must be less than the number of points
    found: NDArray[np.float32] = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(features)
    return found
