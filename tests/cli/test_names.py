"""``pt4al list``."""

from typing import Any

from pt4al_backend.config.catalog import MAIN_TASKS, PRETEXTS, STRATEGIES


def test_list_prints_every_name_that_settings_may_take(run: Any) -> None:
    shown = run("list").output
    for name in (*STRATEGIES, *PRETEXTS, *MAIN_TASKS):
        line = next(line for line in shown.splitlines() if f" {name} " in line)
        assert len(line.split("│")[3].strip()) > 10
