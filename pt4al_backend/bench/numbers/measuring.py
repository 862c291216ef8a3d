"""Runs the rows of a benchmark one after the other, and prints their table."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import typer
from rich.console import Console

from pt4al_backend.bench.numbers import machine, table
from pt4al_backend.bench.numbers.workbench import Sizes, Workbench
from pt4al_backend.errors import PT4ALError

out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def report(program: str, rows: Mapping[str, str], wanted: Sequence[str] | None, label_studio: Path, sizes: Sizes) -> str:
    """Measures the rows that are wanted, or all, and prints the table; returns it.

    Args:
        program: module that the user ran, for the command above the table.
        rows: the modules that measure, by the names of their rows.

    Raises:
        typer.BadParameter: there is no row of that name.
        typer.Exit: a measurement failed, and the reason is printed.
    """
    if unknown := set(wanted or ()) - set(rows):
        raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(rows)}")
    here, began = machine.Machine.here(), time.monotonic()
    lines: list[table.Line] = []
    release = ""
    try:
        with Workbench(label_studio, sizes) as bench:
            for row, module in rows.items():
                if wanted and row not in wanted:
                    continue
                err.print(f"{time.monotonic() - began:4.0f} s: {row} …")
                lines += import_module(module).measure(bench)
            release = bench.label_studio
    except (PT4ALError, TimeoutError, FileNotFoundError) as error:
        err.print(f"Error: {error}", style="red")
        raise typer.Exit(1) from None
    command = shlex.join(["python", "-m", program, *sys.argv[1:]])
    text = f"{machine.heading(here, command, release, time.monotonic() - began)}\n{table.markdown(lines)}"
    out.print(text)
    return text
