"""How evenly the images that were queried spread over the classes. Pure.

The measure is the entropy of a query's class counts by the most there is: 1 for equal counts, 0 for one class only. A query
of few images is below 1 even when it is drawn uniformly, so the row to compare with is that of random draws.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pt4al_backend.bench.records import Record
from pt4al_backend.bench.statistics import entropy


@dataclass(frozen=True)
class Balance:
    """Of one query: normalised entropy, and the smallest and the largest count of a class."""

    entropy: float
    least: int
    most: int

    @classmethod
    def of(cls, labels: Sequence[str], classes: Sequence[str]) -> "Balance":
        """Counts ``labels``, each of which is one of ``classes``."""
        counts = Counter(labels)
        sizes = [counts[name] for name in classes]
        return cls(entropy(sizes), min(sizes), max(sizes))


#: A row for each query: arm, seed, labels of its round, and the fields of its balance.
Balances: TypeAlias = pd.DataFrame
COLUMNS = ["arm", "seed", "labels", "entropy", "least", "most"]


def balances(arms: Mapping[str, Sequence[Record]], labels: NDArray[np.str_], classes: Sequence[str]) -> Balances:
    """The balance of every query; ``labels`` are those of the data set, by row."""
    rows = []
    for arm, rounds in arms.items():
        for record in rounds:
            balance = Balance.of(labels[record.query].tolist(), classes)
            rows.append((arm, record.seed, record.labels, balance.entropy, balance.least, balance.most))
    return pd.DataFrame(rows, columns=COLUMNS)
