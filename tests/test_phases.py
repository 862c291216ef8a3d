"""The words for phases."""

from pt4al_backend.phases import PHASES, Phase


def test_every_phase_has_words() -> None:
    assert set(PHASES) == set(Phase)


def test_words_fit_the_column_of_the_demo() -> None:
    assert max(map(len, PHASES.values())) <= 29
