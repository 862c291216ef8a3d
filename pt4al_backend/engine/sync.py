"""Sync: what Label Studio holds (tasks, images, answers) becomes the state's.

Increments go by ``updated_at``, which Label Studio moves on for every new, changed or deleted annotation of a task.
A full pass now and then catches what increments cannot show: deleted tasks. It fetches what was drawn or chosen only where
the annotations are not those that were read before.
"""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from pt4al_backend.aliases import Json
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.inline import kept
from pt4al_backend.label_studio.annotations import LabelReader, Size, image_of
from pt4al_backend.label_studio.client import LabelStudio, NotFound
from pt4al_backend.phases import Phase
from pt4al_backend.state.annotations import Annotated
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

log = logging.getLogger(__name__)

#: Looked at again in each increment: a slow transaction may commit an older ``updated_at`` after a newer one was seen.
OVERLAP = timedelta(seconds=10)
#: After this time every slow transaction has committed and was seen by a poll. Without this, all tasks of an import would
#: be read with every look until somebody labels one: at 10,000 tasks, seconds of Label Studio's time for each.
SETTLED = timedelta(minutes=2)


class _State(NamedTuple):
    """What the state has of some tasks: the references of their images, and the answers of those that have one."""

    images: dict[int, str]
    answers: dict[int, StoredAnswer]


class Sync:
    """Brings one project's tasks and answers up to date in the store."""

    def __init__(self, store: Store, client: LabelStudio, project: Project, reader: LabelReader) -> None:
        self._store = store
        self._client = client
        self._project = project
        self._reader = reader

    def increment(self, *, reread: bool = False) -> None:
        """Takes over every task that changed since the last look; all tasks of a new project.

        ``reread``: all tasks, because the labeling config names another field for the image, or other labels.
        """
        since = "" if reread else self._project.synced_until
        changed = seen_until(since) if since else None
        for page in self._client.task_pages(self._project.id, updated_since=changed, page_size=self._reader.page_size):
            self._take(page, reread=reread)
            since = max([since, *(str(task["updated_at"]) for task in page)])
        if since != self._project.synced_until:
            self._store.change(self._project, synced_until=since)

    def full(self) -> None:
        """Takes over everything: deleted tasks go, unknown ones come, answers are compared one by one.

        Of tasks that were seen before, no more than their numbers is held, and of a page what the state has of it.
        """
        started = time.monotonic()
        present = np.asarray(self._client.task_ids(self._project.id), np.int64)
        known = self._store.task_ids(self._project.id)
        self._store.drop_tasks(self._project.id, np.setdiff1d(known, present).tolist())
        if len(np.setdiff1d(present, known)):
            for page in self._client.task_pages(self._project.id, page_size=self._reader.page_size):
                self._take(page)
        else:
            answered = [np.empty(0, np.int64)]
            for page in self._client.answered_pages(self._project.id):
                state = self._state_of(page)
                self._note_annotations(page)
                self._take_again([int(task["id"]) for task in page if self._is_news(task, state)])
                answered.append(np.array([task["id"] for task in page], np.int64))
            gone = np.setdiff1d(self._store.answered_ids(self._project.id), np.concatenate(answered))
            withdrawn = dict.fromkeys(gone.tolist(), StoredAnswer(AnswerKind.NONE))
            self._store.put_answers(self._project.id, withdrawn)
            self._store.put_annotations(self._project.id, dict.fromkeys(withdrawn, ()))
        if not self._store.correct_counts(self._project.id):
            log.warning("Project %s: the numbers of its tasks were wrong, and are counted again.", self._project.id)
        self._store.change(self._project, full_sync_at=time.time(), full_sync_took=time.monotonic() - started)

    def _state_of(self, page: Sequence[Mapping[str, Any]]) -> _State:
        ids = [int(task["id"]) for task in page]
        return _State(self._store.task_images(self._project.id, ids), self._store.answers(self._project.id, ids))

    def _take(self, page: Sequence[Mapping[str, Any]], *, reread: bool = False) -> None:
        tasks: list[Json] = []
        answers: dict[int, StoredAnswer] = {}
        state = self._state_of(page)
        news = [task for task in page if reread or self._is_news(task, state)]
        sizes = self._store.sizes(self._project.id, [int(task["id"]) for task in news if task.get("annotations")])
        for task in news:
            task_id = int(task["id"])
            image, problem = self._image(task)
            if state.images.get(task_id) != image:
                tasks.append({"id": task_id, "image": image, "problem": problem})
                sizes.pop(task_id, None)  # it was another image's
            stamp, old = _stamp(task.get("annotations") or []), state.answers.get(task_id)
            same = old if old and old.stamp == stamp and old.answer == AnswerKind.LABEL else None
            answers[task_id] = self._answer(task, same, sizes.get(task_id), stamp)
        self._store.put_tasks(self._project.id, tasks)
        self._store.put_answers(self._project.id, answers)
        self._note_annotations(page)

    def _note_annotations(self, page: Sequence[Mapping[str, Any]]) -> None:
        """Keeps who annotated these tasks, and when, where that is not what is kept."""
        known = self._store.annotations(self._project.id, [int(task["id"]) for task in page])
        made = {int(task["id"]): _annotated(task.get("annotations") or []) for task in page}
        news = {task_id: each for task_id, each in made.items() if each != known.get(task_id, frozenset())}
        self._store.put_annotations(self._project.id, news)

    def read_again(self, fetched: Sequence[int]) -> None:
        """Reads annotations again whose image has come: they waited for its size, or were drawn on one of another size."""
        before = self._store.answers(self._project.id, fetched)
        sizes = self._store.sizes(self._project.id, list(before))
        self._take_again([task_id for task_id, size in sizes.items() if self._says_more(before[task_id], size)])

    def _says_more(self, answer: StoredAnswer, size: Size) -> bool:
        is_label = answer.answer == AnswerKind.LABEL
        return not answer.stamp or (is_label and bool(self._reader.unusable_reason(answer.label, size)))

    def _take_again(self, ids: Sequence[int]) -> None:
        for page in self._client.named_pages(self._project.id, ids, page_size=self._reader.page_size):
            self._take(page, reread=True)

    def _is_news(self, task: Mapping[str, Any], state: _State) -> bool:
        """Whether a task has another image or other annotations than before, or a part of its label is gone; reads no result."""
        task_id = int(task["id"])
        old = state.answers.get(task_id)
        label, stamp = (old.label, old.stamp) if old else ("", "")
        is_read = _stamp(task.get("annotations") or []) == stamp and state.images.get(task_id) == self._image(task)[0]
        return not is_read or not self._reader.holds(label)

    def _image(self, task: Mapping[str, Any]) -> tuple[str, str]:
        try:
            return kept(image_of(task.get("data") or {}, self._reader.config)), ""
        except ImageUnreadable as error:
            return "", str(error)

    def _answer(self, task: Mapping[str, Any], same: StoredAnswer | None, size: Size | None, stamp: str) -> StoredAnswer:
        """The answer to a task with an image of that size.

        ``same`` is what the same annotations came to when their predictions were still there. What waits for its image has
        no stamp: it is read again.
        """
        annotations = task.get("annotations") or []
        answer = self._reader.answer_of(annotations, (lambda _: None) if same else self._prediction, size)
        accepted = same.accepted if same else answer.accepted
        return StoredAnswer(
            AnswerKind(answer.kind), answer.label or "", accepted, answer.problem or "", "" if answer.waits else stamp
        )

    def _prediction(self, prediction_id: int) -> Json | None:
        try:
            return self._client.prediction(prediction_id)
        except NotFound:
            return None


def seen_until(newest: str) -> str:
    """From when on tasks are read, ``newest`` being the newest change that was seen."""
    moment = datetime.fromisoformat(newest)
    if datetime.now(UTC) - moment < SETTLED:
        moment -= OVERLAP
    return moment.isoformat().replace("+00:00", "Z")


def _stamp(annotations: Sequence[Mapping[str, Any]]) -> str:
    """A digest of annotations that changes when they do, made without reading them: a drawing takes its time."""
    if not annotations:
        return ""
    flags = ("was_cancelled", "ground_truth")
    marks = sorted(
        (int(each["id"]), str(each.get("updated_at")), *(bool(each.get(flag)) for flag in flags)) for each in annotations
    )
    return hashlib.sha256(repr(marks).encode()).hexdigest()[:40]


def _annotated(annotations: Sequence[Mapping[str, Any]]) -> frozenset[Annotated]:
    """Who made annotations, and when; one that says no time is left out."""
    found = set()
    for each in annotations:
        try:
            at = int(datetime.fromisoformat(str(each.get("created_at"))).timestamp())
        except ValueError:
            continue
        annotator = each.get("completed_by")
        known = annotator if type(annotator) is int else None
        found.add(Annotated(int(each["id"]), known, at, bool(each.get("was_cancelled"))))
    return frozenset(found)


def catch_up(ctx: Context) -> None:
    """Takes over what was answered since the last look, webhook or not: it must not be picked again."""
    Sync(ctx.store, ctx.client, ctx.project, ctx.reader).increment()


def full(ctx: Context) -> None:
    """Takes over everything."""
    Sync(ctx.store, ctx.client, ctx.project, ctx.reader).full()


def read_again(ctx: Context, fetched: Sequence[int]) -> None:
    """Reads annotations again for which the size of their image matters, now that these were fetched."""
    Sync(ctx.store, ctx.client, ctx.project, ctx.reader).read_again(fetched)


def step(ctx: Context) -> Outcome:
    """Takes over what changed; everything if tasks are missing or the labeling config is another one."""
    sync = Sync(ctx.store, ctx.client, ctx.project, ctx.reader)
    if not ctx.project.synced_until:
        ctx.phase(Phase.SYNCING)
    control = ctx.reader.config.from_name
    reread = (ctx.config_xml, control) != (ctx.project.config_read, ctx.project.control_read)
    sync.increment(reread=reread)
    if ctx.store.task_count(ctx.project.id) != ctx.remote.task_number:
        sync.full()
    if reread:
        ctx.store.change(ctx.project, config_read=ctx.config_xml, control_read=control)
    return Outcome.DONE
