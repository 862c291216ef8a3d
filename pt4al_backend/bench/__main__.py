"""``python -m pt4al_backend.bench [row …]``: prints the numbers that docs/numbers.md shows."""

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

#: Offline measurements first, while no server runs beside them.
OFFLINE = ("codec", "querying", "scoring", "training", "overhead", "looking", "pages")
ROWS = (*OFFLINE, "publishing", "acknowledgement", "turnaround", "memory", "features")

out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rows: Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(ROWS)}; else all.")] = None,
    to: Annotated[Path | None, typer.Option("--out", help="File to write the table into as well.")] = None,
    label_studio: Annotated[Path, typer.Option(help="Label Studio's command.")] = Path(".venv-label-studio/bin/label-studio"),
    tasks: Annotated[int, typer.Option(min=500, help="Tasks of the large project; the small one has a tenth.")] = Sizes.large,
    requests: Annotated[int, typer.Option(min=100, help="Webhooks in a series.")] = Sizes.requests,
    images: Annotated[int, typer.Option(min=500, help="Images of the measurements without Label Studio.")] = Sizes.images,
) -> None:
    """Measures the numbers that the backend holds, on this machine, against a Label Studio of its own."""
    chosen = [row for row in ROWS if not rows or row in rows]
    if unknown := set(rows or ()) - set(ROWS):
        raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    here, began = machine.Machine.here(), time.monotonic()
    lines: list[table.Line] = []
    try:
        with Workbench(label_studio, Sizes(tasks, tasks // 10, requests, images)) as bench:
            for row in chosen:
                err.print(f"{time.monotonic() - began:4.0f} s: {row} …")
                lines += import_module(f"pt4al_backend.bench.numbers.{row}").measure(bench)
            release = bench.label_studio
    except (PT4ALError, TimeoutError) as error:
        err.print(f"Error: {error}", style="red")
        raise typer.Exit(1) from None
    command = shlex.join(["python", "-m", "pt4al_backend.bench", *sys.argv[1:]])
    text = f"{machine.heading(here, command, release, time.monotonic() - began)}\n{table.markdown(lines)}"
    out.print(text)
    if to is not None:
        to.write_text(text)


if __name__ == "__main__":
    app()
