"""Shares a project's pretext learner and models with the other hosts, by the store of ``PT4AL_ARTEFACTS_URL``, if one is set.

A store that is away stops nothing: the project goes on with what this host has, the page says so, and the next look tries again.
"""

from pathlib import Path

from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.errors import ConfigError, StoreAway, StoreCorrupt
from pt4al_backend.state.paths import project_name


def share_jobs(ctx: Context) -> Outcome:
    """Brings what the state names to this host, or to the store, whichever lacks it."""
    project, shared = ctx.project, ctx.resources.shared
    if shared is None:
        return Outcome.DONE
    named = (project.learner, project.model, project.full_model.model, project.full_model.comparison)
    names = {str(Path(artefact).parent) for artefact in named if artefact}
    try:
        shared.exchange_all(project_name(project), names, ctx.require)  # nothing is served by a model that is coming
    except (ConfigError, StoreAway, StoreCorrupt) as error:
        ctx.warn(error)
        ctx.notice("store", str(error))
    else:
        ctx.notice("store", "")
    return Outcome.DONE
