"""``python -m pt4al_backend.bench [row …]``: prints the numbers that docs/numbers.md shows."""

from pathlib import Path
from typing import Annotated

import typer

from pt4al_backend.bench.numbers.measuring import report
from pt4al_backend.bench.numbers.workbench import Sizes

#: Offline measurements first, while no server runs beside them.
OFFLINE = ("codec", "querying", "scoring", "training", "overhead", "looking", "pages", "heads", "features_overhead")
ROWS = (*OFFLINE, "publishing", "acknowledgement", "turnaround", "memory", "features")

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
    modules = {row: f"pt4al_backend.bench.numbers.{row}" for row in ROWS}
    text = report("pt4al_backend.bench", modules, rows, label_studio, Sizes(tasks, tasks // 10, requests, images))
    if to is not None:
        to.write_text(text)


if __name__ == "__main__":
    app()
