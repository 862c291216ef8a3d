"""Strategies: rules that turn pool and model into a query. The catalog in ``config`` names and describes them."""

from pt4al_backend.query.strategies.base import ModelOutput, Need, Pool, Query, Request, Sizes, Strategy

__all__ = ["ModelOutput", "Need", "Pool", "Query", "Request", "Sizes", "Strategy"]
