"""The command line, ``pt4al``. What a command needs is imported when it runs: ``pt4al --help`` answers at once."""

from collections.abc import Callable
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
from pt4al_backend.ops.terminal import examples, out


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
    epilog=examples(
        "`pt4al start`: runs the backend. Connect it in Label Studio, Settings > Model.",
        "`pt4al doctor`: checks the settings, the worker and every connected project.",
        "`pt4al status --watch`: shows where every project stands.",
        "`pt4al rank photos/ --out tasks.json`: puts images in order before you import them.",
        "`pt4al demo`: shows the whole loop.",
    ),
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


def _add(command: Callable[..., None], *lines: str, name: str | None = None) -> None:
    app.command(name, epilog=examples(*lines))(command)


_add(
    start,
    "`pt4al start`: runs both, by the settings in the environment.",
    "`pt4al start --insecure`: does the same where a proxy before it asks for the password.",
)
_add(web, "`pt4al web`: answers Label Studio; workers may run on other hosts, with the same PostgreSQL and Redis.")
_add(worker, "`pt4al worker`: trains, on this host, for the web process of this or another one.")
_add(
    status,
    "`pt4al status`: shows all projects.",
    "`pt4al status 3 --watch`: shows project 3 with its learning curve, until Ctrl-C.",
)
_add(
    doctor,
    "`pt4al doctor`: checks this machine, Label Studio and all projects.",
    "`pt4al doctor 3`: checks project 3 alone, and what it needs.",
)
_add(list_, '`pt4al list` prints what `{"strategy": …}` may be, for example.', name="list")
_add(train, "`pt4al train 3`: has a model learn the new labels of project 3 now, whatever its round still waits for.")
_add(pause, "`pt4al pause 3`: leaves the queue of project 3 as it is.")
_add(resume, "`pt4al resume 3`: goes on where `pt4al pause 3` stopped.")
_add(
    forget,
    "`pt4al forget 3`: asks first.",
    "`pt4al forget 3 --yes`: does not, for scripts.",
)
_add(
    rank,
    "`pt4al rank photos/ --out tasks.json`: ranks all images of a folder.",
    "`pt4al rank s3://bucket/photos --take 50000 --out tasks.json`: writes the best 50,000, and the rest for `pt4al refill`.",
)
_add(
    refill,
    "`pt4al refill 3 --rest tasks.rest.jsonl --take 1000`: gives project 3 its ranked rest, and adds the best 1,000 of it.",
    "`pt4al refill 3`: adds the next ones.",
)
_add(
    demo,
    "`pt4al demo --label-studio .venv-label-studio/bin/label-studio`: labels digits; `make demo` installs Label Studio first.",
    "`pt4al demo --task segmentation --images photos --masks masks`: draws the masks that a folder has.",
)
app.add_typer(bench, name="bench")
app.add_typer(weights, name="weights")
