"""The runner that the server's settings name."""

import shlex

from pt4al_backend.config import ServerSettings
from pt4al_backend.jobs.run.local import LocalRunner
from pt4al_backend.jobs.run.ray import RayRunner
from pt4al_backend.jobs.run.restarts import RestartingRunner


def runner_of(settings: ServerSettings) -> RestartingRunner:
    """Child processes of this machine, behind ``PT4AL_LAUNCHER`` if it is set, or tasks of a Ray cluster."""
    if settings.runner == "ray":
        return RayRunner(settings.ray_address, settings.job_stall_seconds)
    return LocalRunner(shlex.split(settings.launcher), settings.job_stall_seconds)
