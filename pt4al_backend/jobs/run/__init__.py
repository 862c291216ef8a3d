"""Where jobs run: a runner brings the job in a folder to its result, on this machine or on another one."""

from pt4al_backend.jobs.run.local import LocalRunner
from pt4al_backend.jobs.run.named import runner_of
from pt4al_backend.jobs.run.ray import RayRunner
from pt4al_backend.jobs.run.runner import OnTick, Runner
from pt4al_backend.jobs.run.sharing import SharingRunner, sharing

__all__ = ["LocalRunner", "OnTick", "RayRunner", "Runner", "SharingRunner", "runner_of", "sharing"]
