"""Core-Set (Sener and Savarese, ICLR 2018): the tasks that leave no other far from all that is labelled, by greedy k-center.

Features are the model's pooled ones, compared by Euclidean distance without normalisation, and the labelled images are
centres from the start. Deviates from the paper, as all published re-implementations do: no mixed integer program refines
the greedy solution. The whole pool is covered; the re-implementations for CIFAR-10 draw 10,000 images of it first.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.covering import Covering
from pt4al_backend.query.strategies.k_center import k_center
from pt4al_backend.query.strategies.request import ModelOutput, Request


class CoreSet(Covering):
    """Asks the task that is farthest from all that were asked, then the next."""

    name: ClassVar[str] = "core_set"

    def pick(self, said: ModelOutput, asked: Request) -> NDArray[np.int64]:
        return k_center(*said.needed_features(), asked.k)
