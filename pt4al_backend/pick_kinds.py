"""Why a round picks a task: one word for it in a query, in the state and on the pages."""

from enum import StrEnum


class PickKind(StrEnum):
    """Why a round has picked a task."""

    QUERY = "query"  # chosen by the strategy, to learn from
    CONTROL = "control"  # drawn uniformly from the pool, to measure the model: it is never trained on
    RESERVE = "reserve"  # served behind the query, so that nobody waits while a model trains
    PERSON = "person"  # chosen by a person, to be labelled next: it trains the model, and never measures it
