"""What a strategy is: a rule that turns pool and model into a query.

A strategy is a class in a module of its own, named in ``config.catalog``; the contract test then covers it. Its answers
depend on ids, losses, batches, on what a model said and on the generator, not on the pool's order.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query import ranking
from pt4al_backend.query.strategies import first_query
from pt4al_backend.query.strategies.request import Pool, Query, Request

#: What a model can say of images beside its confidences: ``ModelOutput.features`` with ``ModelOutput.labelled``, and
#: ``ModelOutput.posteriors``.
#: "pretext_features": before there is a model, the pretext learner's features of the whole pool, in the same place.
Need = Literal["features", "posteriors", "pretext_features"]


class Strategy(ABC):
    """A rule for the query. All take the same options; each uses those it has a use for.

    ``rounds`` is I, the number of batches; ``first_query`` a rule of that module; ``sampler`` a name in
    ``confidence.SAMPLERS``, "k_center" or "normalised_confidence"; ``batch_order`` one of ``ranking.ORDERS``; ``seed`` the
    project's, for a draw of candidates. Rounds count from 1 and may exceed I: after round I the sweep begins again.
    """

    #: What the setting ``strategy`` calls it.
    name: ClassVar[str]
    #: Whether losses or batches change what it asks; if not, it can start before the pool is ranked.
    uses_ranking: ClassVar[bool]
    #: What it needs beside confidences. ``query`` is called without a model where a model did not say it.
    needs: frozenset[Need] = frozenset()
    #: Companion that is trained for it (see ``companions``), "" for none; its confidences go by that name.
    companion: str = ""

    def __init__(self, *, rounds: int, first_query: str, sampler: str, batch_order: str = "hard_first", seed: int = 0) -> None:
        self.rounds = rounds
        self.first_query = first_query
        self.sampler = sampler
        self.order = ranking.sweep(rounds, batch_order)
        self.seed = seed

    @property
    def asks_ranking(self) -> bool:
        """Whether losses or batches change what it asks with the options that it has."""
        return self.uses_ranking and self.first_query != "random"

    @abstractmethod
    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """Positions int64[m] that the model must score before this round's query of ``k``; empty if it asks no model.

        The same call gives the same positions: a draw hangs on the seed and the round.
        """

    @abstractmethod
    def query(self, asked: Request) -> Query:
        """Picks ``asked.k`` tasks, or as many as there are; the reserve changes nothing about the query before it.

        What lies outside the candidates that the model spoke of is not picked by a strategy that asks the model.
        """

    def without_model(self, asked: Request) -> Query:
        """What a strategy that needs a model asks before there is one: the setting ``first_query`` says it."""
        return first_query.ask(asked, self.first_query, self.order)
