"""The round engine: one idempotent function moves a project forward from whatever state is on disk.

Webhooks, the button, the command line and the poll only ask for it, so that lost, doubled or reordered events change
nothing but the delay. While a child process trains, the engine keeps serving: it takes over answers, and lengthens
the queue when it runs short.
"""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import DBAPIError

from pt4al_backend.config import ServerSettings, project_settings
from pt4al_backend.engine.access import client_for, fetcher_for
from pt4al_backend.engine.intake import Intake
from pt4al_backend.engine.labelling import label_reader_for
from pt4al_backend.engine.publish import ServedQueue
from pt4al_backend.engine.query import Querying
from pt4al_backend.engine.sync import Sync
from pt4al_backend.engine.train import Labels, Trainer
from pt4al_backend.errors import LabelStudioError, PT4ALError, TrainingImpossible
from pt4al_backend.label_studio import label_config
from pt4al_backend.label_studio.registration import Registration
from pt4al_backend.query import plan
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import REMEDY, Store

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 60.0  # after a training that failed; doubles up to an hour
LAST_RETRY_SECONDS = 3600.0
PROGRESS_SECONDS = 0.5  # between two writes of the progress
SAFER_ORDER = "The batches are therefore drawn at random, not by pretext loss."  # see query.plan.cut
SERVE_SECONDS = 1.0  # between two looks at the answers while a child works


class SettingsChanged(Exception):
    """The project's settings are others than this look began with."""


Wish = tuple[int, dict[str, Any], str]
NEVER = (0, 0.0, None)  # failed: no time, and nothing to wait for


def _wish(project: Project) -> Wish:
    """What people asked of a project, as far as it may make a training possible."""
    return project.train_asked, dict(project.params), project.label_config


class Retries:
    """When a training that failed may be tried again.

    After a while, longer each time, or as soon as someone presses the button or changes the settings or the labeling config.
    """

    def __init__(self) -> None:
        self._failed: dict[tuple[int, str], tuple[int, float, Wish]] = {}  # project, kind -> times, not before, wish by then

    def may_run(self, project: Project, kind: str) -> bool:
        """Whether a training of this kind ("rank" or "learn") may be tried."""
        _, not_before, wish = self._failed.get((project.id, kind), NEVER)
        return time.time() >= not_before or wish != _wish(project)

    def failed(self, project: Project, kind: str) -> None:
        """Notes a failure."""
        times, _, _ = self._failed.get((project.id, kind), NEVER)
        wait = min(FIRST_RETRY_SECONDS * 2**times, LAST_RETRY_SECONDS)
        self._failed[project.id, kind] = times + 1, time.time() + wait, _wish(project)

    def succeeded(self, project: Project, kind: str) -> None:
        """Forgets the failures."""
        self._failed.pop((project.id, kind), None)


class Engine:
    """Reconciles projects. One per worker process; training runs in one child at a time, so projects take turns."""

    def __init__(self, settings: ServerSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._device = Lock()
        self._retries = Retries()

    def asked(self, project_id: int, train: bool = False) -> None:
        """Heeds one request. If another thread or process holds the project, that one sees the request and heeds it."""
        self._store.ask(project_id, train=train)
        while True:
            with self._store.lease(project_id) as held:
                project = self._store.project(project_id)
                if not held or project is None:
                    return
                handled = self._guarded(project)
            project = self._store.project(project_id)
            if project is None or project.asked == handled:
                return

    def _guarded(self, project: Project) -> int:
        """Runs one reconcile; an error is stored where the user looks. Returns the last request that it heeded."""
        run = Reconcile(self._settings, self._store, project, self._device, self._retries)
        try:
            run()
        except SettingsChanged:
            log.info("Project %s: its settings have changed; what is under way goes on only as far as it suits them.", project.id)
            return run.handled - 1  # so that another look follows at once
        except PT4ALError as error:
            log.warning("Project %s: %s", project.id, error)
            self._failed(project.id, error.message, error.remedy)
        except OSError as error:
            log.exception("Project %s", project.id)
            full = f"Free space on the disk that holds {self._settings.data_dir} (PT4AL_DATA_DIR)."
            remedy = full if error.errno in (errno.ENOSPC, errno.EDQUOT) else "See the worker's log."
            self._failed(project.id, f"The machine refused: {error.strerror or error}.", remedy)
        except DBAPIError as error:
            log.exception("Project %s", project.id)
            self._failed(project.id, f"The state cannot be read or written ({error.orig}).", REMEDY)
        except Exception as error:
            log.exception("Project %s", project.id)
            self._failed(
                project.id,
                f"Internal error: {type(error).__name__}.",
                "The worker's log has the traceback: standard error of `pt4al start` or `pt4al worker`. Please report it.",
            )
        else:
            if not run.withheld:
                self._store.update(project.id, error="", remedy="", error_at=None)
        return run.handled

    def _failed(self, project_id: int, message: str, remedy: str) -> None:
        self._store.update(project_id, phase="blocked", progress={}, error=message, remedy=remedy, error_at=time.time())


class Reconcile:
    """One pass over one project: sync, images, rank, query, publish, train; each step does only what is missing."""

    def __init__(self, settings: ServerSettings, store: Store, project: Project, device: Lock, retries: Retries) -> None:
        self._settings = settings
        self._store = store
        self._project = project
        self._device = device
        self._retries = retries
        self._reported = 0.0
        self._looked = time.monotonic()
        self._heeded = project.asked
        self.handled = project.asked  # requests that came later deserve another look, whatever was seen of them meanwhile
        self.withheld = False  # a training is due, but the last one failed a moment ago

    def __call__(self) -> None:
        self._connect()
        self._sync()
        self._querying.start()
        self._publish()
        self._take_in()
        self._rank()
        self._querying.open_first(self._trainer.scored)
        self._publish()
        while self._learn():
            self._publish()
        if self._querying.lengthen(self._trainer.scored):  # whoever holds the rest of the query must not stop the others
            self._publish()
        self._rest()

    # steps

    def _connect(self) -> None:
        self._options = project_settings(self._project.params)
        self._client = client_for(self._settings, self._project)
        remote = self._client.project(self._project.id)
        title, config_text = str(remote.get("title") or ""), str(remote.get("label_config") or "")
        self._labelling = label_reader_for(self._settings, self._project, label_config.parse(config_text))
        plan.require_fit(self._options, self._labelling.task)
        self._config_text = config_text
        self._full_due = time.time() - self._project.full_sync_at > self._settings.full_sync_seconds
        self._store.connect(self._project.id, title=title, label_config=config_text)
        self._task_number = int(remote.get("task_number") or 0)
        self._queue = ServedQueue(
            self._store, self._client, self._project, self._labelling, show_predictions=self._options.show_predictions
        )
        self._querying = Querying(self._store, self._project, self._options)
        self._trainer = Trainer(self._store, self._settings, self._project, self._options, self._labelling)
        self._registration = Registration(self._settings, self._client, self._project.id)
        self._register()
        served, sampling = str(remote.get("model_version") or ""), str(remote.get("sampling") or "")
        self._notice("queue", self._queue.keep_served(served, sampling, self._registration.titles))

    def _register(self) -> None:
        """A project is looked at as soon as Label Studio asks /setup; it makes connection and webhook a moment later."""
        if self._full_due or self._project.notices.get("webhook"):
            self._notice("webhook", self._registration.repair_webhook())
        if self._full_due and not self._project.view_made:
            try:
                self._project.view_made = self._registration.add_view()
            except LabelStudioError as error:  # a convenience: the queue is served without it
                log.warning("Project %s: %s", self._project.id, error)
            self._store.update(self._project.id, view_made=self._project.view_made)

    def _sync(self) -> None:
        sync = Sync(self._store, self._client, self._project, self._labelling)
        if not self._project.synced_until:
            self._phase("syncing", {})
        reread = self._config_text != self._project.config_read
        sync.increment(reread=reread)
        if self._store.counts(self._project.id)["tasks"] != self._task_number:
            sync.full()
        if reread:
            self._store.update(self._project.id, config_read=self._config_text)
        self._notice("schedule", self._querying.schedule(self._querying.pool()).notice)

    def _publish(self) -> None:
        picks = self._store.picks(self._project.id, self._project.round)
        if not picks:
            return
        before, start = self._project.served_version, time.monotonic()
        self._queue.publish(self._project.round, picks)
        if self._project.served_version != before:
            self._log("%s tasks are served, sent in %.1f s.", len(picks), time.monotonic() - start)

    def _take_in(self) -> None:
        def on_progress(done: int, total: int) -> None:
            self._on_progress({"phase": "fetching images", "done": done, "total": total})
            self._keep_serving()

        with fetcher_for(self._settings, self._project) as fetcher:
            Intake(self._store, self._settings, fetcher, self._project, self._options, self._labelling.task).run(on_progress)

    def _rank(self, *, anew: bool = False) -> None:
        """Nothing to rank by is no obstacle: the safer order needs no losses, and the notice says so."""
        if not (anew or self._trainer.is_unranked()) or not self._retries.may_run(self._project, "rank"):
            return
        try:
            with self._device_taken():
                start = time.monotonic()
                self._trainer.rank(self._querying, self._on_progress, self._keep_serving, anew=anew)
        except TrainingImpossible as error:
            log.warning("Project %s: %s", self._project.id, error)
            self._retries.failed(self._project, "rank")
            self._notice("pretext", f"Ranking failed and is tried again later; images go unranked until then. {error}")
            return
        self._log("%s images are ranked, in %.1f s.", len(self._querying.pool()), time.monotonic() - start)
        self._retries.succeeded(self._project, "rank")
        quality = self._project.quality
        self._notice("pretext", "" if quality.get("meaningful") else f"{quality.get('reason', '')} {SAFER_ORDER}")
        self._catch_up()

    def _learn(self) -> bool:
        """Trains when the round is answered or the button was pressed, and opens the next round; True if it did."""
        labels = self._trainer.labels()
        if not self._is_due(labels):
            return False
        if not self._retries.may_run(self._project, "learn"):
            self.withheld = True
            return False
        missing = self._trainer.missing_for_training(labels)
        if missing:
            self._notice("classes", f"A model needs {missing}: the next round follows the ranking, without a model.")
            self._querying.open_next(StoredOutput(), {"labels": len(labels.train)})
        else:
            self._notice("classes", "")
            self._train()
        self._store.update(self._project.id, train_done=self._project.train_asked)
        self._project.train_done = self._project.train_asked
        return True

    def _is_due(self, labels: Labels) -> bool:
        if self._querying.is_answered():
            return True
        if self._project.train_asked <= self._project.train_done:
            return False
        current = self._store.round(self._project.id, self._project.round)
        before = self._store.round(self._project.id, self._project.round - 1)
        if current is None or current.state != "open":
            return False  # heeded once the pool is ranked
        reason = ""
        missing = self._trainer.missing_for_training(labels)
        if missing:
            reason = f"a model needs {missing}"
        elif before is not None and before.digest == labels.digest:
            reason = "there is no label that the last model has not seen"
        if reason:
            self._notice("button", f"Start Training was pressed, but {reason}.")
            self._store.update(self._project.id, train_done=self._project.train_asked)
            return False
        self._notice("button", "")
        return True

    def _train(self) -> None:
        following = self._project.round + 1

        def candidates() -> NDArray[np.int64]:
            self._querying.cut_batches(following)
            return self._querying.candidates(following)

        if self._trainer.outgrown():
            self._rank(anew=True)
        try:
            with self._device_taken():
                scored, closed = self._trainer.train(candidates, self._on_progress, self._keep_serving)
        except TrainingImpossible:
            self._retries.failed(self._project, "learn")
            raise
        self._log("a model has learned %s labels, in %.1f s.", closed["labels"], sum(closed["seconds"].values()))
        self._retries.succeeded(self._project, "learn")
        self._phase("publishing", {})
        self._catch_up()
        self._querying.open_next(scored, closed)
        self._trainer.forget_old_models()

    def _catch_up(self) -> None:
        """Takes over what was answered meanwhile, webhook or not: it must not be asked again."""
        Sync(self._store, self._client, self._project, self._labelling).increment()

    def _rest(self) -> None:
        pool = self._querying.pool()
        open_picks = sum(self._querying.unanswered())
        if not len(pool):
            self._phase("waiting for tasks", {})
        elif open_picks or not pool.answered.all():
            self._phase("labelling", {})
        else:
            self._phase("exhausted", {})
        if self._project.notices.get("webhook"):
            self._notice("webhook", self._registration.repair_webhook())
        if self._full_due:  # last of all, so that no round waits for it
            Sync(self._store, self._client, self._project, self._labelling).full()
        if self._project.synced_until:
            self._queue.prune(datetime.fromisoformat(self._project.synced_until).timestamp())

    # while a child works

    @contextmanager
    def _device_taken(self) -> Iterator[None]:
        while not self._device.acquire(timeout=SERVE_SECONDS):
            self._phase("waiting for the device", {})
            self._keep_serving()
        self._notice("weights", "")
        try:
            yield
        finally:
            self._device.release()
            self._notice("training", "")

    def _on_progress(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        if note := event.get("note"):  # where weights come from says something of the model; the rest passes with the training
            self._log("%s", note)
            self._notice("weights" if event.get("phase") == "preparing" else "training", str(note))
        if now - self._reported >= PROGRESS_SECONDS:
            self._reported = now
            self._phase(str(event.get("phase", "training")), {key: value for key, value in event.items() if key != "phase"})

    def _keep_serving(self) -> None:
        """Takes over answers and lengthens the queue; Label Studio being away does not stop a training.

        Raises:
            SettingsChanged: so that a training that they made pointless ends now; any other goes on from its checkpoint.
        """
        if time.monotonic() - self._looked < SERVE_SECONDS:
            return
        current = self._store.project(self._project.id)
        if current is not None and current.params != self._project.params:
            raise SettingsChanged
        if current is not None and current.asked != self._heeded:
            self._heeded = current.asked
            self._project.train_asked = current.train_asked
            try:
                self._catch_up()
                if self._querying.lengthen(self._trainer.scored):
                    self._publish()
            except LabelStudioError as error:
                log.warning("Project %s, while it trains: %s", self._project.id, error)
        self._looked = time.monotonic()

    def _log(self, sentence: str, *words: object) -> None:
        log.info(f"Project %s, round %s: {sentence}", self._project.id, self._project.round, *words)

    def _phase(self, phase: str, progress: dict[str, Any]) -> None:
        self._store.update(self._project.id, phase=phase, progress=progress)

    def _notice(self, topic: str, sentence: str) -> None:
        if self._project.notices.get(topic, "") != sentence:
            self._project.notices = {**self._project.notices, topic: sentence}
            self._store.notice(self._project.id, topic, sentence)
