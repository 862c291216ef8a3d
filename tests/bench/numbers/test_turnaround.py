"""How a turnaround is taken apart."""

import pytest

from pt4al_backend.bench.numbers.life import Turn
from pt4al_backend.bench.numbers.turnaround import ORDER, other_parts, own_parts

TURN = Turn(
    labelled=100.0,
    noticed=100.1,
    synced=100.4,
    prepared=100.5,
    started=102.0,
    trained=112.5,
    requested=112.7,
    imported=117.7,
    live=117.8,
    seconds={"train": 8.0, "score": 2.0},
)


def test_the_parts_make_up_the_whole() -> None:
    parts = {**own_parts(TURN), **other_parts(TURN)}
    assert sum(parts.values()) == pytest.approx(TURN.live - TURN.labelled)
    assert parts.keys() == set(ORDER)


def test_training_scoring_and_the_import_do_not_count_against_the_bound() -> None:
    assert sum(own_parts(TURN).values()) == pytest.approx(0.1 + 0.3 + 0.1 + 0.2 + 0.1)
