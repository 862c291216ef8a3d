"""Benchmarks, each of which prints a table for the README: ``python -m pt4al_backend.bench``.

``numbers`` measures the backend itself: how quickly it answers, turns a round, scores, and in how much memory.
"""
