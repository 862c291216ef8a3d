"""Models that other hosts trained, on their way to this one: nobody else waits for a download, however many want one of them."""

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from threading import Lock

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import NotNow
from pt4al_backend.jobs.shared_jobs import SharedJobs

AT_ONCE = 4  # downloads, of as many projects


class ModelDownloads:
    """Fetches jobs from the artefact store in threads of its own. Safe to share between threads."""

    def __init__(self, settings: ServerSettings) -> None:
        self._data_dir = settings.data_dir
        self._shared = SharedJobs.of(settings)
        self._fetching = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="model-downloads")
        self._coming: dict[Path, Future[None]] = {}
        self._lock = Lock()

    def wait(self, result: Path, seconds: float) -> None:
        """Returns once the result of a job is here; at once if it is, or if there is no store to fetch it from.

        Raises:
            NotNow: it is still on its way after so many seconds, and goes on coming; or it is not in the store yet.
            ConfigError, StoreAway, StoreCorrupt: it cannot be fetched.
        """
        shared = self._shared
        if shared is None or result.exists():
            return
        with self._lock:
            coming = self._coming.get(result)
            if coming is None or coming.done():
                coming = self._fetching.submit(shared.exchange, str(result.parent.relative_to(self._data_dir)))
                self._coming[result] = coming
        try:
            coming.result(seconds)
        except Late:
            raise NotNow(
                f"The model was trained by another host and is being fetched from {shared.store.place}.", "Try again in a minute."
            ) from None
        if not result.exists():
            raise NotNow(
                f"The model was trained by another host, and is not in {shared.store.place} yet.",
                "Try again when that host's worker has looked at the project once more, or ask there.",
            )
