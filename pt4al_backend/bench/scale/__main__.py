"""``python -m pt4al_backend.bench.scale [row …]``: prints what many projects and large ones cost."""

from pathlib import Path
from typing import Annotated

import typer

from pt4al_backend.bench.numbers.measuring import report
from pt4al_backend.bench.numbers.workbench import Sizes

#: Rows, and the modules that measure them.
ROWS = {
    "looking": "pt4al_backend.bench.numbers.looking",
    "fairness": "pt4al_backend.bench.scale.fairness",
    "herding": "pt4al_backend.bench.scale.herding",
    "neighbours": "pt4al_backend.bench.scale.neighbours",
    "hosts": "pt4al_backend.bench.scale.hosts",
    "workers": "pt4al_backend.bench.scale.workers",
    "peers": "pt4al_backend.bench.scale.peers",
    "ranking": "pt4al_backend.bench.scale.ranking",
    "label_studio": "pt4al_backend.bench.scale.label_studio",
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rows: Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(ROWS)}; else all.")] = None,
    label_studio: Annotated[Path, typer.Option(help="Label Studio's command.")] = Path(".venv-label-studio/bin/label-studio"),
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of the project in Label Studio.")] = 500_000,
    images: Annotated[int, typer.Option(min=100, help="Images that are ranked before import.")] = 1_000_000,
) -> None:
    """Measures many projects and large ones, on this machine."""
    report("pt4al_backend.bench.scale", ROWS, rows, label_studio, Sizes(large=tasks, images=images))


if __name__ == "__main__":
    app()
