"""``python -m pt4al_backend.bench.scale [row …]``: prints what many projects and large ones cost."""

import shlex
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pt4al_backend.bench.numbers import machine, table
from pt4al_backend.bench.numbers.workbench import Sizes, Workbench
from pt4al_backend.errors import PT4ALError

#: Rows, and the modules that measure them.
ROWS = {
    "looking": "pt4al_backend.bench.numbers.looking",
    "fairness": "pt4al_backend.bench.scale.fairness",
    "label_studio": "pt4al_backend.bench.scale.label_studio",
}

out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rows: Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(ROWS)}; else all.")] = None,
    label_studio: Annotated[Path, typer.Option(help="Label Studio's command.")] = Path(".venv-label-studio/bin/label-studio"),
) -> None:
    """Measures many projects and large ones, on this machine."""
    if unknown := set(rows or ()) - set(ROWS):
        raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    here, began = machine.Machine.here(), time.monotonic()
    lines: list[table.Line] = []
    try:
        with Workbench(label_studio, Sizes()) as bench:
            for row in (row for row in ROWS if not rows or row in rows):
                err.print(f"{time.monotonic() - began:4.0f} s: {row} …")
                lines += import_module(ROWS[row]).measure(bench)
    except (PT4ALError, TimeoutError) as error:
        err.print(f"Error: {error}", style="red")
        raise typer.Exit(1) from None
    command = shlex.join(["python", "-m", "pt4al_backend.bench.scale", *sys.argv[1:]])
    out.print(f"{machine.heading(here, command, '', time.monotonic() - began)}\n{table.markdown(lines)}")


if __name__ == "__main__":
    app()
