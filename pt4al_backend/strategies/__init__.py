"""Strategies: rules that turn pool and model into a query. Importing the package fills the registry."""

from pt4al_backend.strategies import entropy, least_confidence, margin, pt4al, random
from pt4al_backend.strategies.strategy import STRATEGIES, Pool, Query, Request, Said, Strategy, register

__all__ = [
    "STRATEGIES",
    "Pool",
    "Query",
    "Request",
    "Said",
    "Strategy",
    "entropy",
    "least_confidence",
    "margin",
    "pt4al",
    "random",
    "register",
]
