"""``python -m pt4al_backend``: the command line, where the script ``pt4al`` is not on the path."""

from pt4al_backend.cli import app

app(prog_name="pt4al")
