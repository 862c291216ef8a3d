"""Jobs whose results other hosts get as well, by the store of ``PT4AL_ARTEFACTS_URL``."""

import logging
from pathlib import Path

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import ConfigError, StoreAway, StoreCorrupt
from pt4al_backend.jobs.run.runner import OnTick, Runner
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.progress import Report

log = logging.getLogger(__name__)

#: How the folders of those jobs begin whose results the state names.
SHARED_KINDS = tuple(f"{kind}-" for kind in (JobKind.RANK, JobKind.LEARN, JobKind.COMPARE, JobKind.FULL))


class SharingRunner:
    """Runs jobs with another runner, and uploads each result before the state names it, so that another host can take over."""

    def __init__(self, runner: Runner, store: SharedJobs, data_dir: Path) -> None:
        self._runner = runner
        self._store = store
        self._data_dir = data_dir

    def run(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Path:
        """As ``Runner`` says. A store that is away stops nothing: the job is shared with a later look."""
        result = self._runner.run(folder, on_progress, on_tick)
        if folder.name.startswith(SHARED_KINDS):
            try:
                self._store.push(str(folder.relative_to(self._data_dir)), on_tick)
            except (ConfigError, StoreAway, StoreCorrupt) as error:
                log.warning("%s: %s", folder.name, error)
        return result


def sharing(runner: Runner, settings: ServerSettings, store: SharedJobs | None) -> Runner:
    """The runner, whose results are shared if there is a store."""
    return runner if store is None else SharingRunner(runner, store, settings.data_dir)
