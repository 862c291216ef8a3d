"""CoreGCN (Caramalau, Bhattarai and Kim, CVPR 2021): Core-Set on the hidden features of a graph network.

The network learns which images are labelled, so that its features also hold who is near to them. For the network and where
it deviates see ``gcn``. Not as in the code of TA-VAAL, whose CoreGCN covers the model's own features: that is Core-Set.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.gcn import GraphCovering, graph_of, train
from pt4al_backend.query.strategies.k_center import k_center
from pt4al_backend.query.strategies.request import ModelOutput, Request


class CoreGCN(GraphCovering):
    """Asks the task that is farthest, to the network, from all that were asked; then the next."""

    name: ClassVar[str] = "core_gcn"

    def pick(self, said: ModelOutput, asked: Request) -> NDArray[np.int64]:
        graph = graph_of(said)
        hidden, _ = train(graph, asked.rng)
        return k_center(hidden[graph.labelled :], hidden[: graph.labelled], asked.k)
