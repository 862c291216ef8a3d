"""Publishing: telling Label Studio what to serve, in which order.

Predictions under a fresh model version, then one PATCH that makes Label Studio sort by them: annotators see the old order
or the new one, never a mixture. What is about to be sent is written down first, so that after a crash nothing is sent
twice: what already arrived is found by counting the version's predictions.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Self

from pt4al_backend.aliases import Json
from pt4al_backend.engine import disconnected, served_model
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.errors import LabelStudioError
from pt4al_backend.label_studio.annotations import LabelReader, Size, prediction
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.registration import PREFIX, SAMPLING
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.rounds import PublicationColumns
from pt4al_backend.state.schema import Pick, Project, Publication, PublicationState
from pt4al_backend.state.store import Store

log = logging.getLogger(__name__)

KEPT_VERSIONS = 4  # older ones are deleted in idle time: it takes Label Studio seconds
IDLE_SECONDS = 600.0
PART_BYTES = 8_000_000  # of one request: Label Studio holds several times as much while it takes them in


def _parts(predictions: Iterable[Json]) -> Iterator[list[Json]]:
    """Cuts predictions into requests of at most ``PART_BYTES``, or of one prediction; drawings are made as they are sent."""
    part: list[Json] = []
    size = 0
    for each in predictions:
        length = len(json.dumps(each))
        if part and size + length > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(each)
        size += length
    if part:
        yield part


class ServedQueue:
    """One project's queue in Label Studio."""

    def __init__(
        self,
        store: Store,
        client: LabelStudio,
        project: Project,
        reader: LabelReader,
        *,
        show_predictions: bool,
        mark: str = "",
        before_switch: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._client = client
        self._project = project
        self._reader = reader
        self._show = show_predictions
        self._mark = mark  # which model answers, in the names of its versions (see ``served_model.mark``)
        self._before_switch = before_switch  # raises if nothing may be published any more

    @classmethod
    def of(cls, ctx: Context) -> Self:
        """The queue of the project that a look is at."""
        show = ctx.options.show_predictions and ctx.config_xml == ctx.remote.label_config
        return cls(
            ctx.store,
            ctx.client,
            ctx.project,
            ctx.reader,
            show_predictions=show,
            mark=served_model.mark(ctx.project),
            before_switch=lambda: ctx.require(now=True),
        )

    def is_served(self, round_number: int) -> bool:
        """Whether Label Studio serves all picks of a round as they are now; found without reading them."""
        live = self._live(round_number)
        if live is None or not live.digest or live.hides_answers != (not self._show):
            return False
        return live.picks == self._store.pick_count(self._project.id, round_number)

    def is_by(self, round_number: int) -> bool:
        """Whether what Label Studio serves of a round are answers of the model that is served now; so is nothing at all."""
        live = self._live(round_number)
        return live is None or live.answered_by == self._mark

    def renew(self, round_number: int) -> None:
        """Has the next publication replace what is served of a round, as its picks have got answers since."""
        if (live := self._live(round_number)) is not None:
            self._store.set_publication(self._project.id, live.version, digest="")

    def publish(self, round_number: int, picks: Sequence[Pick]) -> None:
        """Makes Label Studio serve ``picks`` in their order; does nothing if it does.

        Picks that only follow those that are live join their version; anything else becomes a new version. Answered
        picks are sent too: one who withdraws an answer is served the task again, in its place.

        Raises:
            LabelStudioError: Label Studio dropped predictions, or did not answer; the old order stays.
        """
        live = self._live(round_number)
        if live is None or self._digest(picks[: live.picks]) != live.digest:
            self._replace(round_number, picks)
        elif len(picks) > live.picks:
            self._extend(live, picks)
        else:
            self._store.set_publication(self._project.id, live.version, hides_answers=not self._show)

    def _live(self, round_number: int) -> Publication | None:
        served = self._store.publications(self._project.id, PublicationState.LIVE)
        return next((publication for publication in served if publication.round == round_number), None)

    @property
    def _other_version(self) -> str:
        """The model version that the project had chosen before; its predictions are shown until this backend has a model."""
        return str(self._project.chosen_before.get("carried") or "")

    def _digest(self, picks: Sequence[Pick]) -> str:
        """Of what is published of picks: their order, and whether answers that there are get hidden."""
        text = ";".join(f"{pick.task_id}:{pick.score!r}" for pick in picks)
        if not self._show and any((pick.label or self._other_version) and pick.kind != PickKind.CONTROL for pick in picks):
            text += ";hidden"
        if self._mark:
            text += f";{self._mark}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _extend(self, live: Publication, picks: Sequence[Pick]) -> None:
        # until the new picks have arrived nothing is live for sure: a crash in between makes the next look replace the version
        self._store.set_publication(self._project.id, live.version, digest="")
        self._send(live.version, picks[live.picks :])
        now: PublicationColumns = {"digest": self._digest(picks), "picks": len(picks), "hides_answers": not self._show}
        self._store.set_publication(self._project.id, live.version, **now)

    def _replace(self, round_number: int, picks: Sequence[Pick]) -> None:
        digest = self._digest(picks)
        versions = self._client.model_versions(self._project.id)
        version = ""
        for left in self._store.publications(self._project.id, PublicationState.SENDING):
            if left.digest == digest and versions.get(left.version, 0) in (0, len(picks)):
                version = left.version  # of a crash: nothing or all of it arrived
            else:
                self._store.set_publication(self._project.id, left.version, state=PublicationState.OLD)
        if not version:
            version = self._fresh_version(round_number, versions)
            self._store.announce(
                Publication(
                    project_id=self._project.id,
                    version=version,
                    round=round_number,
                    state=PublicationState.SENDING,
                    digest=digest,
                    picks=len(picks),
                    hides_answers=not self._show,
                    answered_by=self._mark,
                    at=time.time(),
                )
            )
        if not versions.get(version, 0):
            self._send(version, picks)
        self._before_switch()
        self.switch(version)
        self._store.go_live(self._project, version)

    def _fresh_version(self, round_number: int, taken: dict[str, int]) -> str:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        by = f"{self._mark}-" if self._mark else ""
        names = (f"{PREFIX}r{round_number}-{by}{stamp}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
        known = {p.version for p in self._store.publications(self._project.id, *PublicationState)}
        return next(name for name in names if name not in taken and name not in known)

    def _send(self, version: str, picks: Sequence[Pick]) -> None:
        sizes = self._store.sizes(self._project.id, [pick.task_id for pick in picks])
        carried = self._carried(picks)
        created = 0
        for part in _parts(self._prediction(pick, version, sizes.get(pick.task_id), carried) for pick in picks):
            created += self._client.import_predictions(self._project.id, part)
        if created != len(picks) and carried:  # the labeling config does not allow them any more: sent again without them
            self._store.change(self._project, chosen_before={**self._project.chosen_before, "carried": ""})
        if created != len(picks):
            raise LabelStudioError(
                f"Label Studio took {created} of {len(picks)} predictions of version {version}.",
                "Was the labeling config changed meanwhile? The queue is sent again with the next look.",
            )

    def _carried(self, picks: Sequence[Pick]) -> dict[int, list[Json]]:
        """What another model says of picks that this backend's model has said nothing of, by task."""
        ids = [pick.task_id for pick in picks if not pick.label and pick.kind != PickKind.CONTROL]
        if not self._show or not self._other_version or not ids:
            return {}
        return self._client.results_of(self._project.id, self._other_version, ids)

    def _prediction(self, pick: Pick, version: str, size: Size | None, carried: Mapping[int, list[Json]]) -> Json:
        # a control pick shows nothing: an answer in sight would bias the measure
        regions: list[Json] = []
        if self._show and pick.kind != PickKind.CONTROL:
            regions = self._reader.regions(pick.label, pick.confidence, size) if pick.label else carried.get(pick.task_id, [])
        return prediction(pick.task_id, regions, pick.score, version)

    def switch(self, version: str) -> None:
        """Makes Label Studio sort by a version that it holds predictions of."""
        self._client.update_project(self._project.id, sampling=SAMPLING, model_version=version)

    def repair(self, served_now: str, sampling: str, backend_titles: Callable[[], Sequence[str]]) -> str:
        """Repairs a queue that Label Studio stopped serving; returns a notice where that is the admin's decision.

        Where the backend itself is chosen for live predictions, the project's model version becomes its title, which no
        prediction has: Label Studio then serves at random. A version that was deleted leaves the project without one.
        """
        wanted = self._project.served_version
        if not wanted or (served_now == wanted and sampling == SAMPLING):
            return ""
        sending = self._store.publications(self._project.id, PublicationState.SENDING)
        if served_now in {publication.version for publication in sending}:
            return ""  # the switch went through before a crash: publish() continues from there
        if served_now == wanted:
            return f"The project's task sampling is {sampling!r}, so the queue's order is not used; the next round sets it back."
        if not served_now or served_now.startswith(PREFIX) or served_now in backend_titles():
            if self._client.model_versions(self._project.id).get(wanted, 0):
                self.switch(wanted)
            else:  # somebody deleted it: publish() sends it again
                self._store.set_publication(self._project.id, wanted, state=PublicationState.PRUNED)
            return ""
        return (
            f"The project serves predictions of {served_now!r}, not PT4AL's queue {wanted!r}. "
            "The next round serves the queue again; to do so now, choose that version in Settings > Predictions."
        )

    def prune(self, last_answer_at: float) -> None:
        """Deletes versions that were replaced long ago, if nobody has answered for ten minutes."""
        old = self._store.publications(self._project.id, PublicationState.OLD)[:-1]
        if len(old) < KEPT_VERSIONS or time.time() - last_answer_at < IDLE_SECONDS:
            return
        present = self._client.model_versions(self._project.id)
        for publication in old:
            if publication.version in present and publication.version != self._project.served_version:
                self._client.delete_model_version(self._project.id, publication.version)
            self._store.set_publication(self._project.id, publication.version, state=PublicationState.PRUNED)


def repair_served(ctx: Context) -> Outcome:
    """Looks whether Label Studio still serves the queue."""
    queue, remote = ServedQueue.of(ctx), ctx.remote
    ctx.notice("queue", queue.repair(remote.model_version, remote.sampling, ctx.registration.titles))
    return Outcome.DONE


def note_choices(ctx: Context) -> None:
    """Keeps what people had chosen in Label Studio before the first publication, and tells them that it is replaced."""
    if ctx.project.chosen_before:
        return
    remote = ctx.client.project(ctx.project.id)
    own_titles = [str(entry.get("title") or "") for entry in ctx.registration.ours(ctx.registration.backends())]
    before = disconnected.choices_of(remote, own_titles)
    ctx.store.change(ctx.project, chosen_before={**before, "carried": before["model_version"]})
    ctx.notice("before", disconnected.replaced(before))


def step(ctx: Context) -> Outcome:
    """Publishes the round's picks if Label Studio does not serve them."""
    queue = ServedQueue.of(ctx)
    if queue.is_served(ctx.project.round):
        return Outcome.DONE
    picks = ctx.store.picks(ctx.project.id, ctx.project.round)
    if not picks:
        return Outcome.DONE
    ctx.require()
    note_choices(ctx)
    before, start = ctx.project.served_version, time.monotonic()
    queue.publish(ctx.project.round, picks)
    if ctx.project.served_version != before:
        ctx.log("%s tasks are served, sent in %.1f s.", len(picks), time.monotonic() - start)
    return Outcome.DONE


def prune(ctx: Context) -> Outcome:
    """Deletes old versions in idle time."""
    if ctx.project.synced_until:
        ServedQueue.of(ctx).prune(datetime.fromisoformat(ctx.project.synced_until).timestamp())
    return Outcome.DONE
