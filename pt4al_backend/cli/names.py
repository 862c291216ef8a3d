"""``pt4al list``: the names that settings may take."""

from rich.table import Table
from rich.text import Text

from pt4al_backend.config.catalog import MAIN_TASKS, PRETEXTS, STRATEGIES
from pt4al_backend.ops.terminal import out


def list_() -> None:
    """Prints the strategies, pretext tasks and main tasks that settings may name."""
    table = Table("Setting", "Value", "What it is")
    for setting, catalog in (("strategy", STRATEGIES), ("pretext", PRETEXTS), ("main task", MAIN_TASKS)):
        for name, entry in catalog.items():
            table.add_row(setting, name, Text(entry.summary))
    out.print(table)
