"""What the commands print."""

import pytest

from pt4al_backend.ops.terminal import duration


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (9.6, "0:10"), (61, "1:01"), (754, "12:34"), (3661, "1:01:01")])
def test_durations_read_as_clocks_show_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
