"""``pt4al weights``: which pretrained encoders have their weights on this machine, and how to carry weights to another."""

from pathlib import Path
from typing import Annotated

import typer

from pt4al_backend.cli.settings import read_server_settings
from pt4al_backend.config.catalog import ENCODERS
from pt4al_backend.errors import ConfigError
from pt4al_backend.ops.terminal import examples, out

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Weights of pretrained encoders, for the setting `encoder`."
)


@app.command("list", epilog=examples("`pt4al weights list`: prints the encoders worth a try."))
def list_(
    names: Annotated[list[str] | None, typer.Argument(help="Names of encoders in timm; without any, some worth a try.")] = None,
) -> None:
    """Prints encoders, their licences, and where their weights are."""
    from pt4al_backend.learn.networks.timm_encoder import licence_of
    from pt4al_backend.learn.weights.pretrained import found

    settings = read_server_settings()
    refused: list[ConfigError] = []
    for name in names or ENCODERS:
        try:
            licence = licence_of(name)
        except ConfigError as error:
            refused.append(error)
            continue
        weights = found(name, settings.weights_dir)
        where = f"in {weights.file} ({weights.source})" if weights else "not on this machine"
        out.print(f"{name}: {licence}, {where}", soft_wrap=True)
    if refused:
        raise ConfigError(" ".join(error.message for error in refused), refused[0].remedy)


@app.command(epilog=examples("`pt4al weights fetch tf_efficientnet_lite0.in1k --to weights`: downloads this encoder's."))
def fetch(
    name: Annotated[str, typer.Argument(help="Name of an encoder in timm.")],
    to: Annotated[Path, typer.Option(help="Folder that PT4AL_WEIGHTS_DIR is to name, here or on another machine.")],
) -> None:
    """Writes an encoder's weights into a folder, which can be carried to a machine without a network."""
    from pt4al_backend.learn.weights.pretrained import keep

    if to.exists() and not to.is_dir():
        raise ConfigError(f"{to} is no folder.", "Name a folder with --to.")
    weights = keep(name, to, out.print)
    out.print(f"{weights.file}, SHA-256 {weights.digest}", soft_wrap=True)
