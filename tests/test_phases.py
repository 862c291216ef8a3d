"""The words for phases."""

import re
from pathlib import Path

import pt4al_backend
from pt4al_backend.phases import PHASES, Phase

#: How the sources name a phase that they report: an argument, a default, an event's entry.
SENT = re.compile(r"""(?:\bphase(?:: \w+)? ?= ?|"phase": |\bProgress\()"([^"]+)\"""")


def test_every_phase_that_is_reported_has_words() -> None:
    sources = Path(pt4al_backend.__file__).parent.rglob("*.py")
    sent = {phase for path in sources for phase in SENT.findall(path.read_text())}
    assert {"preparing", "pretext", "scoring"} <= sent
    assert sent <= set(PHASES)
    assert set(PHASES) == set(Phase)


def test_the_words_fit_the_demos_column() -> None:
    assert max(map(len, PHASES.values())) <= 29
