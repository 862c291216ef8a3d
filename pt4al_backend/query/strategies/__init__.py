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
from pt4al_backend.query.strategies.request import ModelOutput, Pool, Query, Request
from pt4al_backend.query.strategies.strategy import STRATEGIES, Need, Strategy, register

__all__ = [
    "STRATEGIES",
    "ModelOutput",
    "Need",
    "Pool",
    "Query",
    "Request",
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
