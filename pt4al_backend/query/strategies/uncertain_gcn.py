"""UncertainGCN (Caramalau, Bhattarai and Kim, CVPR 2021): tasks that a graph network finds least like the labelled ones.

Asked are the tasks whose probability s of being labelled is nearest to 0.1, the published margin. For the network and
where it deviates see ``gcn``.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.gcn import GraphCovering, graph_of, train
from pt4al_backend.query.strategies.request import ModelOutput, Request

MARGIN = 0.1


class UncertainGCN(GraphCovering):
    """Asks by |s - 0.1|, lowest first."""

    name: ClassVar[str] = "uncertain_gcn"

    def pick(self, said: ModelOutput, asked: Request) -> NDArray[np.int64]:
        graph = graph_of(said)
        _, found = train(graph, asked.rng)
        order: NDArray[np.int64] = np.abs(found[graph.labelled :] - MARGIN).argsort(kind="stable")
        return order[: max(0, asked.k)]
