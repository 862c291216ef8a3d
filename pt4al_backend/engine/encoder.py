"""The pretrained encoder of a project whose settings name none: chosen once, by what weights are there, and kept.

A download that fails is tried again for as long as no model has learned labels: until then nothing is lost by a new ranking.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pt4al_backend.config import ServerSettings
from pt4al_backend.config.catalog import AUTO_ENCODERS, NO_ENCODER, NO_ENCODER_YET
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.during_jobs import keep_serving, report
from pt4al_backend.engine.retries import DOWNLOAD
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.manifest import LearnerManifest
from pt4al_backend.learn.weights.download import fetch
from pt4al_backend.learn.weights.search import first_there, hub_address, kept_at, own_name
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report
from pt4al_backend.query.plan import for_task, leaves_encoder_open, without_effect

#: What people read where the wait for a download ends without one.
LEARNED = "A model has learned labels since the download of the weights failed, so that is not tried again."


def step(ctx: Context) -> Outcome:
    """Chooses the encoder before the pool is ranked for the first time; after a failed download, until a model has learned."""
    if ctx.options.encoder is not None:
        ctx.notice("no encoder", "")
    if leaves_encoder_open(ctx.options, ctx.reader.task) and _is_due(ctx):
        name, problem = _chosen(ctx)
        ctx.store.change(ctx.project, encoder=name)
        ctx.notice("no encoder", problem)
        ctx.options = for_task(ctx.options, ctx.reader.task, name)
    ctx.notice("settings", without_effect(ctx.options, ctx.reader.task))
    return Outcome.DONE


def _is_due(ctx: Context) -> bool:
    if ctx.project.encoder == NO_ENCODER_YET:
        return bool(ctx.project.model) or ctx.retries.may_run(ctx.project, DOWNLOAD)
    return not ctx.project.encoder and ctx.store.has_unranked(ctx.project.id)


def _chosen(ctx: Context) -> tuple[str, str]:
    """The encoder, and what is to be said where there is none."""
    is_awaited = ctx.project.encoder == NO_ENCODER_YET
    if is_awaited and ctx.project.model:
        return NO_ENCODER, f"{LEARNED} {_remedy(ctx.settings)}"
    if ctx.project.learner and not is_awaited:  # ranked by a version that did not choose: it goes on as it began
        return _known(ctx.settings.data_dir / ctx.project.learner), ""
    name, problem = choose(ctx.settings, lambda name: _downloaded(ctx, name))
    if name != NO_ENCODER or ctx.settings.pretrained == "off":
        ctx.retries.succeeded(ctx.project, DOWNLOAD)
        return name, problem
    again = datetime.fromtimestamp(ctx.retries.failed(ctx.project, DOWNLOAD), UTC)
    return NO_ENCODER_YET, f"{problem} The download is tried again from {again:%H:%M} UTC on, until a model has learned labels."


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
    learns = f"There are no weights of a pretrained encoder ({problem}), so the network learns from these images alone."
    return NO_ENCODER, f"{learns} {_remedy(settings)}"


def _remedy(settings: ServerSettings) -> str:
    first = AUTO_ENCODERS[settings.has_gpu][0]
    return (
        f"Photos need far fewer labels with one: run `pt4al weights fetch {first} --to DIR` where there is a network, name that "
        f"folder with PT4AL_WEIGHTS_DIR, and set encoder to {first} (in a project's extra params, or PT4AL_ENCODER)."
    )


def _known(learner: Path) -> str:
    try:
        return LearnerManifest.read(learner).settings.pretrained_encoder or NO_ENCODER
    except StoreCorrupt:
        return NO_ENCODER


def _downloaded(ctx: Context, name: str) -> str:
    """Downloads weights while the project is served; returns why not, "" if they came."""
    return download(name, lambda event: report(ctx, event), lambda: keep_serving(ctx))


def download(name: str, report: Report, on_tick: Callable[[], None]) -> str:
    """Downloads weights of one of ``AUTO_ENCODERS`` to where torch keeps such files; returns why not, "" if they came."""
    report(Progress(Phase.PREPARING, note=f"Downloading the weights of {name}, whose licence allows commercial use."))
    return fetch(hub_address(f"timm/{name}"), kept_at(own_name(name)), on_tick)
