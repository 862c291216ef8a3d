"""``pt4al rank``: images in order before they are imported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pt4al_backend.cli.settings import read_server_settings
from pt4al_backend.config import ProjectSettings, project_settings
from pt4al_backend.config.catalog import FIRST_QUERIES, TaskName
from pt4al_backend.config.project import ON_NETWORKS
from pt4al_backend.errors import ConfigError
from pt4al_backend.ops import terminal
from pt4al_backend.ops.terminal import out

MOST_HOURS = 168  # that stores let a signed URL be valid
SHOWN = 20  # files that `rank` names of those that it leaves out
RANK_OPTIONS = "Change the option (--task, --device, --epochs, --first-query, --seed), or PT4AL_… in the environment."


def _default(setting: str) -> str:
    """What an option that is left out means, for the help."""
    default = ProjectSettings.model_fields[setting].default
    return f"PT4AL_{setting.upper()}, else {getattr(ON_NETWORKS, setting) if default is None else default}"


def _warn_of(files: Sequence[str]) -> None:
    for sentence in files[:SHOWN]:
        terminal.warn(sentence)
    if len(files) > SHOWN:
        terminal.warn(f"… and {len(files) - SHOWN} more.")


def rank(
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders with all below them, or patterns; or URLs: s3://bucket/folder, gs://…, https://…."
        ),
    ],
    to: Annotated[Path, typer.Option("--out", help="File to write; one of that name is replaced.")],
    take: Annotated[
        int | None,
        typer.Option(help="Tasks to write. The rest goes to a file beside them, for `pt4al refill`.", min=1, show_default="all"),
    ] = None,
    task: Annotated[TaskName, typer.Option(help="What the images will be labelled for.")] = TaskName.CLASSIFICATION,
    field: Annotated[str, typer.Option(help="Image field of the labeling config.")] = "image",
    url_prefix: Annotated[
        str | None,
        typer.Option(help="What the tasks' images begin with; the path below the folder given (or what all share) follows."),
    ] = None,
    presign: Annotated[
        int | None,
        typer.Option(help="Hours for which everybody who has a task can read its image, by a signed URL.", min=1, max=MOST_HOURS),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs of the small network, which is trained then instead of using a pretrained encoder.",
            show_default=_default("pretext_epochs"),
        ),
    ] = None,
    first_query: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(FIRST_QUERIES)} or batch:5.", show_default=_default("first_query")),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes of this host that read the images and describe them by a pretrained encoder.", min=1)
    ] = 1,
    work_dir: Annotated[
        str,
        typer.Option(
            help="Folder or URL, such as s3://bucket/work, in which several hosts share that: run the same command on each.",
            show_default="a folder in PT4AL_DATA_DIR",
        ),
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", show_default=_default("seed"))] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.", show_default="PT4AL_DEVICE, else auto")] = None,
) -> None:
    """Ranks images before import and writes tasks for Label Studio, best first. Nothing is uploaded, no label is needed.

    The order is that of PT4AL's queries as long as it has no model. On a pretrained encoder ("herding"), which is the
    default where its weights are there or can be downloaded, the first tasks cover all images best. Without one, or
    with --epochs, a small network learns the pretext task, and "stratified" takes even intervals of the whole ranking
    by pretext loss each time: any first part of the file is a sample of all degrees of hardness. "hardest_batch" goes
    from the hardest batch to the easiest, as the paper does. Import the first N tasks, or all: Label Studio serves them
    in the file's order.

    Of images that are identical, one is taken. A command that was ended goes on where it was when it is run again.

    Each task's data holds pt4al_loss, pt4al_rank (1 is the hardest), pt4al_batch and pt4al_query besides the image.

    Without --url-prefix, files are addressed as files of the machine that Label Studio runs on. It serves them with
    LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and a Local Files storage of the project that covers the folder. For
    another document root: --url-prefix "/data/local-files/?d=path/below/the/root". Objects of a bucket are addressed by
    their s3:// or gs:// URL: the project needs a source storage for the bucket. Credentials are those of the store's own tools,
    such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    """
    from pt4al_backend.ops import rank_files
    from pt4al_backend.query.plan import require_fit

    if presign and url_prefix is not None:
        raise ConfigError("--presign and --url-prefix exclude each other.", "Leave one out.")
    given = {"pretext_epochs": epochs, "first_query": first_query, "seed": seed}
    try:
        settings = read_server_settings(device=device)
    except ConfigError as error:
        raise ConfigError(error.message, RANK_OPTIONS) from error
    options = project_settings({name: value for name, value in given.items() if value is not None}, RANK_OPTIONS)
    require_fit(options, task, RANK_OPTIONS)
    targets = rank_files.Targets(to)
    targets.require_writable()
    wanted = rank_files.Wanted(task, field, url_prefix, presign * 3600 if presign else None, take, workers, work_dir)
    with terminal.progress_bars() as report:
        ranked = rank_files.rank(images, settings, options, wanted, targets, report=report)
    if ranked.problem:
        terminal.warn(ranked.problem)
    _warn_of([f"Skipped {name}: {reason}" for name, reason in ranked.skipped])
    if not ranked.quality.meaningful:
        terminal.warn(f"Where the order would be by pretext loss, it is uniformly random instead. {ranked.quality.reason}")
    _warn_of([f"Left out {name}: its image is identical to that of {same}." for name, same in ranked.copies])
    if ranked.replaced_rest:
        terminal.warn(f"{targets.rest} was deleted: it is of an earlier ranking, and behind these tasks nothing is left.")
    _warn_of([f"{name} has changed since it was listed; it is ranked as it is now." for name in ranked.changed])
    left_out = f"files skipped: {len(ranked.skipped)}, left out as identical: {len(ranked.copies)}"
    rest = f" The other {ranked.rest:,} are in {targets.rest}, for `pt4al refill`." if ranked.rest else ""
    out.print(
        Text(f"{ranked.tasks} tasks in {to}, ranked on {ranked.encoder or 'a small network'}; {left_out}.{rest}"), soft_wrap=True
    )
