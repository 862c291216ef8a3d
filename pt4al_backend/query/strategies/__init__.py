"""Strategies: rules that turn pool and model into a query. Importing the package fills the registry."""

from pt4al_backend.query.strategies import (
    badge,
    core_gcn,
    core_set,
    entropy,
    learning_loss,
    learning_loss_detached,
    least_confidence,
    margin,
    pal,
    pt4al,
    random,
    ta_vaal,
    typiclust,
    uncertain_gcn,
    vaal,
)
from pt4al_backend.query.strategies.request import Pool, Query, Request, Said
from pt4al_backend.query.strategies.strategy import STRATEGIES, Need, Strategy, register

__all__ = [
    "STRATEGIES",
    "Need",
    "Pool",
    "Query",
    "Request",
    "Said",
    "Strategy",
    "badge",
    "core_gcn",
    "core_set",
    "entropy",
    "learning_loss",
    "learning_loss_detached",
    "least_confidence",
    "margin",
    "pal",
    "pt4al",
    "random",
    "register",
    "ta_vaal",
    "typiclust",
    "uncertain_gcn",
    "vaal",
]
