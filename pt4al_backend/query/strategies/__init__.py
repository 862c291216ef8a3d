"""Strategies: rules that turn pool and model into a query. The catalog in ``config`` names them."""

from pt4al_backend.query.strategies.request import ModelOutput, Pool, Query, Request
from pt4al_backend.query.strategies.strategy import Need, Strategy

__all__ = ["ModelOutput", "Need", "Pool", "Query", "Request", "Strategy"]
