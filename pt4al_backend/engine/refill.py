"""Refill: adds the next best images of the ranked rest to a Label Studio project, never a twin of what is there.

A twin has the address of a task of the project, or shows the identical image. Images are told apart by the digests of their
frames: those of the ranking where it stored its frames as the project does, else by reading the image once more.

A refill that was killed adds nothing twice: how far the rest was taken is noted after each import, and what was imported before
is found among the project's tasks. What people delete in Label Studio does not come back.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pt4al_backend.aliases import Json
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.during_jobs import keep_serving
from pt4al_backend.engine.labeling_config import in_force
from pt4al_backend.engine.ranked_rest import Entry, Heading, Rest
from pt4al_backend.engine.sync import seen_until
from pt4al_backend.errors import ImageUnreadable, LabelStudioError, NotNow, PT4ALError
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frames import KEEP, digest
from pt4al_backend.images.sources import Source, source_of
from pt4al_backend.images.sources.files import LOCAL_FILES
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.label_config import LabelConfig
from pt4al_backend.state.lease import locked
from pt4al_backend.state.paths import refill_lease, rest_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

#: Tasks of one import: what Label Studio takes in a second or two.
SLICE = 1_000


@dataclass
class Refilled:
    """What a refill came to: tasks added, twins and unreadable images passed over, images left in the rest."""

    added: int = 0
    twins: int = 0
    unreadable: int = 0
    left: int = 0

    def __str__(self) -> str:
        passed = [f"{self.twins:,} that are there already"] if self.twins else []
        passed += [f"{self.unreadable:,} that cannot be read"] if self.unreadable else []
        over = f" Passed over: {', '.join(passed)}." if passed else ""
        return f"{self.added:,} tasks were added from the ranked rest, {self.left:,} images are left in it.{over}"


@dataclass
class Refill:
    """One refill of one project.

    Attributes:
        on_tick: called between images and before each import; an error that it raises ends the refill.
        done: what it came to so far.
    """

    store: Store
    settings: ServerSettings
    client: LabelStudio
    project: Project
    config: LabelConfig
    on_tick: Callable[[], None]
    done: Refilled = field(default_factory=Refilled)

    def run(self, take: int) -> Refilled:
        """Adds the next ``take`` images, or as many as there are.

        Raises:
            ConfigError: the project has no ranked rest.
            NotNow: another refill is under way, or images of the project are still to be read.
            BucketUnavailable: an address cannot be signed, or an image not be read, as its store refuses.
            LabelStudioError: Label Studio does not answer, or refuses the import.
        """
        with _alone(self.settings, self.project.id):
            rest = Rest(rest_dir(self.settings, self.project))
            heading = rest.heading()
            self._require_read()
            while self.done.added < take and (part := rest.next(min(SLICE, take - self.done.added))):
                source = source_of([part[0].name], heading.root)
                chosen = self._without_twins(part, heading, source)
                tasks = [{"data": self._data(each, heading.address(source, each.name))} for each in chosen]
                self.on_tick()
                self.client.import_tasks(self.project.id, tasks)
                rest.take(len(part))
                self.done.added += len(tasks)
            self.done.left = rest.left
        return self.done

    def _data(self, entry: Entry, address: str) -> Json:
        return {self.config.image_key: address, **entry.data}

    def _require_read(self) -> None:
        """Requires that the images of all tasks were read: a twin of one that was not would not be noticed."""
        waiting = self.store.to_fetch_count(self.project.id, time.time())
        since = self.project.synced_until
        for page in self.client.task_pages(self.project.id, updated_since=seen_until(since) if since else None):
            ids = [int(task["id"]) for task in page]
            waiting += len(ids) - len(self.store.task_images(self.project.id, ids))
        if waiting:
            raise NotNow(
                f"The images of {waiting:,} tasks of project {self.project.id} are not read yet, so twins could not be told.",
                "Try again when the worker has read them; `pt4al status` shows how far it is.",
            )

    def _without_twins(self, part: Sequence[Entry], heading: Heading, source: Source) -> list[Entry]:
        """Those of ``part`` of which the project has no twin."""
        keys = {each.name: {_key(each.name), _key(source.address(each.name, heading.prefix))} for each in part}
        wanted = frozenset[str]().union(*keys.values())
        there = {key for image in self.store.images(self.project.id) if (key := _key(image)) in wanted}
        frames = self._frames([each for each in part if not keys[each.name] & there], heading, source)
        shown = self.store.known_frames(self.project.id, list(frames.values()))
        chosen = [each for each in part if each.name in frames and frames[each.name] not in shown]
        twins = sum(bool(keys[each.name] & there) or frames.get(each.name) in shown for each in part)
        self.done.twins += twins
        self.done.unreadable += len(part) - len(chosen) - twins
        return chosen

    def _frames(self, entries: Sequence[Entry], heading: Heading, source: Source) -> dict[str, str]:
        """Digests of the images' frames as the project stores them, by their names; those that cannot be read are left out."""
        stored = self.project.stored_shape
        if not stored or (stored == heading.stored and KEEP[self.project.task] is KEEP[heading.task]):
            return {each.name: each.frame for each in entries}
        found = {}
        for each in entries:
            self.on_tick()
            try:
                data = source.read(each.name, self.settings.image_max_bytes)
                image = decode(data, self.settings.image_max_pixels, max(stored)).image
            except ImageUnreadable as error:
                if error.transient:
                    source.require_reachable()
                continue
            found[each.name] = digest(KEEP[self.project.task](image, stored))
        return found


def refill(
    store: Store,
    settings: ServerSettings,
    client: LabelStudio,
    project: Project,
    take: int,
    on_tick: Callable[[], None] = lambda: None,
) -> Refilled:
    """Adds the next best images to a project, as ``Refill.run`` says."""
    return Refill(store, settings, client, project, in_force(project), on_tick).run(take)


def give(settings: ServerSettings, project: Project, path: Path) -> None:
    """Gives a project a ranked rest, as ``Rest.give`` says.

    Raises:
        ConfigError: the file is none.
        NotNow: a refill is under way, which would note in the new one how far it has taken the old one.
    """
    with _alone(settings, project.id):
        Rest(rest_dir(settings, project)).give(path)


@contextmanager
def _alone(settings: ServerSettings, project_id: int) -> Iterator[None]:
    with locked(refill_lease(settings, project_id)) as lease:
        if lease is None:
            raise NotNow(f"Project {project_id} is being refilled.", "Wait until that ends.")
        yield


def step(ctx: Context) -> Outcome:
    """Refills the project if so few tasks are left to label that its settings want it."""
    project, rest = ctx.project, Rest(rest_dir(ctx.settings, ctx.project))
    is_due, why_not = _due(ctx, rest)
    if is_due:
        ctx.require()
        try:
            size, on_tick = ctx.options.refill_size, lambda: keep_serving(ctx)
            done = refill(ctx.store, ctx.settings, ctx.client, project, size, on_tick)
        except LabelStudioError:
            raise
        except PT4ALError as error:  # people go on with what there is
            ctx.warn(error)
            why_not = f"No tasks were added from the ranked rest. {error}"
        else:
            ctx.log("%s", done)
            ctx.store.request(project.id)  # another look at once, whether or not Label Studio's webhook arrives
    ctx.notice("refill", why_not)
    return Outcome.DONE


def _due(ctx: Context, rest: Rest) -> tuple[bool, str]:
    """Whether a refill is due, and why there is none though tasks are short.

    Tasks whose images cannot be read count as tasks that are left. Otherwise a project that cannot read its bucket would be
    given all of it.
    """
    least, project_id = ctx.options.refill_below, ctx.project.id
    left, aside = ctx.store.unanswered_counts(project_id) if least else (0, 0)
    if left >= least:
        return False, ""
    if not rest.is_given:
        cure = f"pt4al refill {project_id} --rest tasks.rest.jsonl gives it one."
        return False, f"This host has no ranked rest to add tasks from: {cure}"
    if not rest.left:
        return False, "The ranked rest is used up: all its images are in this project."
    if left + aside >= least:
        cure = "Make their images readable, or delete them in Label Studio."
        return False, f"No tasks are added from the ranked rest as {aside:,} are set aside, as listed below. {cure}"
    return True, ""


def _key(address: str) -> str:
    """What addresses of one image have in common, whatever signs them and by whichever name Label Studio is called."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    if parts.path.endswith("/data/local-files/"):
        return f"{LOCAL_FILES}{parse_qs(parts.query).get('d', [''])[0]}"
    return f"//{parts.netloc}{parts.path}" if parts.scheme in ("http", "https") else address
