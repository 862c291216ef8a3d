"""The pretrained encoder of a project whose settings name none: chosen once, by what weights are there, and kept."""

from collections.abc import Callable
from pathlib import Path

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.config.catalog import AUTO_ENCODERS, NO_ENCODER
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.meanwhile import keep_serving, report
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.learn.weights.download import fetch
from pt4al_backend.learn.weights.places import first_there, hub_address, kept_at, own_name
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report
from pt4al_backend.query.plan import for_task, leaves_encoder_open, without_effect


def step(ctx: Context) -> Outcome:
    """Chooses the encoder before the pool is ranked for the first time."""
    if ctx.options.encoder is not None:
        ctx.notice("no encoder", "")
    wanted = leaves_encoder_open(ctx.options, ctx.reader.task)
    if not ctx.project.encoder and wanted and ctx.store.has_unranked(ctx.project.id):
        name, problem = _chosen(ctx)
        ctx.store.change(ctx.project, encoder=name)
        ctx.notice("no encoder", problem)
        ctx.options = for_task(ctx.options, ctx.reader.task, name)
    ctx.notice("settings", without_effect(ctx.options, ctx.reader.task))
    return Outcome.DONE


def _chosen(ctx: Context) -> tuple[str, str]:
    """The encoder, and what is to be said where there is none."""
    if ctx.project.learner:  # ranked by a version that did not choose: it goes on as it began
        return _known(ctx.settings.data_dir / ctx.project.learner), ""
    return choose(ctx.settings, lambda name: _downloaded(ctx, name))


def choose(settings: ServerSettings, download: Callable[[str], str]) -> tuple[str, str]:
    """The encoder whose weights are there or come by ``download``, and what is to be said where there is none.

    ``download`` gets the weights of an encoder, and returns why not, "" if they came.
    """
    candidates = AUTO_ENCODERS[settings.has_gpu]
    if name := first_there(candidates, settings.weights_dir):
        return name, ""
    first = candidates[0]
    problem = "PT4AL_PRETRAINED is off" if settings.pretrained == "off" else download(first)
    if not problem:
        return first, ""
    return NO_ENCODER, (
        f"There are no weights of a pretrained encoder ({problem}), so the network learns from these images alone. "
        f"Photos need far fewer labels with one: run `pt4al weights fetch {first} --to DIR` where there is a network, name that "
        f"folder with PT4AL_WEIGHTS_DIR, and set encoder to {first} (in a project's extra params, or PT4AL_ENCODER)."
    )


def _known(learner: Path) -> str:
    try:
        return ProjectSettings.stored(artefacts.manifest(learner)["settings"]).pretrained_encoder or NO_ENCODER
    except StoreCorrupt:
        return NO_ENCODER


def _downloaded(ctx: Context, name: str) -> str:
    """Downloads weights while the project is served; returns why not, "" if they came."""
    return download(name, lambda event: report(ctx, event), lambda: keep_serving(ctx))


def download(name: str, report: Report, on_tick: Callable[[], None]) -> str:
    """Downloads weights of one of ``AUTO_ENCODERS`` to where torch keeps such files; returns why not, "" if they came."""
    report(Progress(Phase.PREPARING, note=f"Downloading the weights of {name}."))
    return fetch(hub_address(f"timm/{name}"), kept_at(own_name(name)), on_tick)
