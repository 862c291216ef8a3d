"""Benchmarks, each of which prints a table for docs/numbers.md: ``python -m pt4al_backend.bench``.

``numbers`` measures the backend itself: how quickly it answers, turns a round, scores, and in how much memory.
"""
