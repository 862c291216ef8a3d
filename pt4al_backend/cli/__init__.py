"""The command line, ``pt4al``. What a command needs is imported when it runs: ``pt4al --help`` answers at once."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pt4al_backend import __version__
from pt4al_backend.bench.command import app as bench
from pt4al_backend.cli.demo import demo
from pt4al_backend.cli.names import list_
from pt4al_backend.cli.processes import start, web, worker
from pt4al_backend.cli.projects import doctor, forget, pause, refill, resume, status, train
from pt4al_backend.cli.rank import rank
from pt4al_backend.cli.weights import app as weights
from pt4al_backend.errors import ConfigError, PT4ALError
from pt4al_backend.ops import terminal
from pt4al_backend.ops.terminal import out

EXAMPLES = """
Examples:

* `pt4al start` runs the backend. Connect it in Label Studio, Settings > Model.
* `pt4al doctor` checks the settings, the worker and every connected project.
* `pt4al status --watch` shows where every project stands.
* `pt4al rank photos/ --out tasks.json` puts images in order before you import them.
* `pt4al demo` shows the whole loop.
"""


class Commands(TyperGroup):
    """Turns an error into one line with what to change, instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; exit status 1 if it raises one of our errors, or the disk's."""
        try:
            return super().invoke(ctx)
        except PT4ALError as error:
            problem = error
        except BrokenPipeError:  # of `pt4al status | head`: the framework ends quietly
            raise
        except OSError as error:
            problem = _of_disk(error)
        terminal.fail(str(problem))
        raise typer.Exit(1)


def _of_disk(error: OSError) -> ConfigError:
    reason = error.strerror or type(error).__name__
    what = f"{error.filename} cannot be used ({reason})." if error.filename else f"The system refuses: {reason}."
    return ConfigError(what, "Check free space and permissions. The state is in PT4AL_DATA_DIR, a benchmark in its own folder.")


app = typer.Typer(
    cls=Commands,
    help="PT4AL active learning beside Label Studio: the labels that teach a model most come first.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Settings come from the environment (LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY, PT4AL_…); docs/settings.md lists them."""


app.command()(start)
app.command()(web)
app.command()(worker)
app.command()(status)
app.command()(doctor)
app.command("list")(list_)
app.command()(train)
app.command()(pause)
app.command()(resume)
app.command()(forget)
app.command()(rank)
app.command()(refill)
app.command()(demo)
app.add_typer(bench, name="bench")
app.add_typer(weights, name="weights")
