"""Which projects are driven: those for which Label Studio lists this backend. All others are let go.

A project that is let go is neither read, trained, published nor polled, and what people had chosen in Label Studio before the
first publication is set back. Its state and files stay, so that /setup resumes it where it was. ``forget`` drops both.
"""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.access import client_for
from pt4al_backend.errors import ConfigError, LabelStudioError, ProjectBusy, PT4ALError, StoreAway, UnknownProject
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.label_studio.client import LabelStudio, NotFound
from pt4al_backend.label_studio.registration import PREFIX, SAMPLING, SEQUENTIAL, Registration
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.state.lease import locked
from pt4al_backend.state.paths import BACKGROUND_LEASES, project_dir, project_name
from pt4al_backend.state.schema import Forgotten, Project
from pt4al_backend.state.store import Store

log = logging.getLogger(__name__)

#: After a /setup: Label Studio sends it first, and makes the entry only if it is content with the answer.
GRACE_SECONDS = 60.0
#: Between two readings of the entries, for which Label Studio calls every backend of the project.
LISTED_SECONDS = 15.0

#: Label Studio's state of an entry that it can use.
CONNECTED = "CO"
#: What is set back, by the fields of Label Studio's project.
NAMES = {"sampling": "task sampling", "model_version": "model version"}

#: In which what is computed for the pages of a project notices that it is forgotten; a head alone may take as long.
GIVING_UP_SECONDS = 30.0

CONNECT_AGAIN = "To connect it again, add this backend under Settings > Model in Label Studio: work resumes where it was."


class NotConnected(Exception):
    """Label Studio does not list this backend for a project any more, or has no such project; ``sentence`` says which."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Connections:
    """When Label Studio was last read for the entries of each project; of one worker process."""

    def __init__(self) -> None:
        self._read_at: dict[int, float] = {}

    def require(self, store: Store, project: Project, registration: Registration, *, now: bool = False) -> None:
        """Reads the entries if that was a while ago, or ``now``.

        Raises:
            NotConnected: none of them is this backend, and no /setup came lately.
            LabelStudioError: they cannot be read.
        """
        if not now and time.monotonic() - self._read_at.get(project.id, -LISTED_SECONDS) < LISTED_SECONDS:
            return
        self._read_at[project.id] = time.monotonic()
        entries = registration.backends()
        if registration.ours(entries):
            if not project.listed:
                store.change(project, listed=True)
        elif not _may_be_ours(entries) and ((project.listed and not entries) or not _is_awaited(store, project)):
            self._read_at.pop(project.id)
            raise NotConnected("Label Studio does not list this backend for the project any more.")


def require_known(store: Store, project: Project, client: LabelStudio, missing: NotFound) -> None:
    """Called when Label Studio has no such project.

    Raises:
        NotConnected: Label Studio is there, takes the token, and no /setup came lately.
        NotFound: a /setup came lately, so LABEL_STUDIO_URL may name another Label Studio.
        LabelStudioError: it does not answer as Label Studio does, or refuses the token.
    """
    if _is_awaited(store, project):
        raise missing
    client.whoami()
    raise NotConnected("Label Studio has no such project any more, or LABEL_STUDIO_URL names another Label Studio.")


def _may_be_ours(entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of them is out of order in Label Studio's eyes: this backend's web process may be down at the moment.

    All others were just sent a /setup by Label Studio, which has reached this backend if it is theirs.
    """
    return any(entry.get("state") != CONNECTED for entry in entries)


def _is_awaited(store: Store, project: Project) -> bool:
    store.refresh(project, "setup_at")
    return time.time() - project.setup_at < GRACE_SECONDS


def let_go(store: Store, settings: ServerSettings, project: Project, reason: NotConnected) -> None:
    """Sets back what people had chosen in Label Studio, as far as it can be reached, and drives the project no more."""
    set_back = set_back_choices(settings, project)
    sentences = (reason.sentence, "Nothing is trained or published.", set_back, CONNECT_AGAIN)
    log.info("Project %s is let go. %s %s", project.id, reason.sentence, set_back)
    store.let_go(
        project,
        let_go_at=time.time(),
        listed=False,
        served_version="",
        chosen_before={},
        phase=Phase.NOT_CONNECTED,
        progress=Progress(Phase.NOT_CONNECTED),
        notices={"connection": " ".join(filter(None, sentences))},
    )


def put_back(store: Store, settings: ServerSettings, project: Project) -> None:
    """Sets back what people had chosen in Label Studio, while the project is paused; resumed, it serves its queue again.

    Raises:
        PT4ALError: Label Studio could not be reached; the next look tries again.
    """
    sentence = _set_back(settings, project) or "Nothing was set back in Label Studio: it has what people chose there."
    log.info("Project %s: %s", project.id, sentence)
    store.let_go(project, to_put_back=False, served_version="", chosen_before={})
    store.notice(project, "before", sentence)


def choices_of(remote: Mapping[str, Any], own_titles: list[str]) -> dict[str, str]:
    """What people chose in a project of Label Studio's that the first publication will replace.

    Label Studio chooses a backend by itself when it is connected; that, and what an earlier installation of this backend left,
    is no choice of theirs.
    """
    version, sampling = str(remote.get("model_version") or ""), str(remote.get("sampling") or SEQUENTIAL)
    if version.startswith(PREFIX):
        return {"sampling": SEQUENTIAL, "model_version": ""}
    return {"sampling": sampling, "model_version": "" if version in own_titles else version}


def set_back_choices(settings: ServerSettings, project: Project) -> str:
    """Sets back task sampling and model version unless a person has chosen something since; returns a sentence for the user."""
    try:
        return _set_back(settings, project)
    except PT4ALError as error:
        log.warning("Project %s: %s", project.id, error)
        return f"Label Studio could not be reached to set back what was chosen before: {_named(_before(project))}."


def _before(project: Project) -> dict[str, str]:
    return {name: str(value) for name, value in project.chosen_before.items() if name in NAMES}


def _set_back(settings: ServerSettings, project: Project) -> str:
    """The same.

    Raises:
        PT4ALError: Label Studio could not be reached.
    """
    before = _before(project)
    if not before:
        return ""
    client = client_for(settings, project)
    try:
        fields = _ours(client.project(project.id), before)
        if not fields:
            return ""
        try:
            client.update_project(project.id, **fields)
        except LabelStudioError:  # no prediction has that version any more
            fields["model_version"] = ""
            client.update_project(project.id, **fields)
    except NotFound:
        return ""
    return f"Set back in Label Studio: {_named(fields)}."


def _ours(remote: Mapping[str, Any], before: Mapping[str, str]) -> dict[str, str]:
    """The fields that still have this backend's values, as they were before."""
    sampling, version = str(remote.get("sampling") or ""), str(remote.get("model_version") or "")
    fields = {}
    if sampling == SAMPLING != before["sampling"]:
        fields["sampling"] = before["sampling"]
    # deleting the version's predictions leaves the project without one
    is_ours = version.startswith(PREFIX) or (not version and sampling == SAMPLING)
    if is_ours and version != before["model_version"]:
        fields["model_version"] = before["model_version"]
    return fields


def _named(choices: Mapping[str, str]) -> str:
    return ", ".join(f"{NAMES[name]} {value!r}" if value else f"no {NAMES[name]}" for name, value in choices.items())


def replaced(before: Mapping[str, str]) -> str:
    """What the first publication replaces, as a sentence for the user; "" if that is Label Studio's default."""
    chosen = {name: value for name, value in before.items() if value and value != SEQUENTIAL}
    if not chosen:
        return ""
    carried = "Until there is a model here, the queue shows that version's predictions, except in control picks. "
    return (
        f"PT4AL's queue replaces what was chosen in Label Studio: {_named(chosen)}. "
        f"{carried if 'model_version' in chosen else ''}It is set back when the backend is removed under Settings > Model."
    )


def forget(store: Store, settings: ServerSettings, project_id: int) -> str:
    """Drops a project's state and files; returns sentences on what was set back in Label Studio and what could not be deleted.

    Raises:
        UnknownProject: there is none.
        ProjectBusy: a worker is at it.
    """
    with store.lease(project_id) as lease:
        project = store.project(project_id)
        if project is None:
            raise UnknownProject(project_id)
        if lease is None:
            raise ProjectBusy(
                f"A worker is at project {project_id}.",
                "Try again in a moment. If it is training, remove the backend under Settings > Model first, which ends that.",
            )
        set_back = set_back_choices(settings, project)
        note = store.forget(project, shared=bool(settings.artefacts_url))
        _give_up(settings, note)
        left = _clear(store, settings, note)
    done = f"{set_back} {left}".strip()
    log.info("Project %s is forgotten. %s", project_id, done)
    return done


def _give_up(settings: ServerSettings, forgotten: Forgotten) -> None:
    """Returns once nothing that is computed here for a forgotten project's pages writes among its files any more.

    What takes longer to give up than is waited for writes nothing either: it asks for the project first.
    """
    deadline = time.monotonic() + GIVING_UP_SECONDS
    while True:
        with ExitStack() as leases:
            held = [leases.enter_context(locked(lease(settings, forgotten.project_id))) for lease in BACKGROUND_LEASES]
            if None not in held or time.monotonic() > deadline:
                return
        time.sleep(0.1)


def clear_forgotten(store: Store, settings: ServerSettings) -> None:
    """Deletes what this host and the artefact store have of forgotten projects; each host calls it now and then."""
    for forgotten in store.forgotten():
        if left := _clear(store, settings, forgotten):
            log.warning("Project %s is forgotten. %s", forgotten.project_id, left)


def _clear(store: Store, settings: ServerSettings, forgotten: Forgotten) -> str:
    """The same of one; returns sentences on what is left for the next call, "" for nothing."""
    left, folder = [], project_dir(settings, forgotten)
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        left.append(f"Its files on this host are deleted later: {error.strerror}.")
    shared = SharedJobs.of(settings) if forgotten.shared else None
    try:
        if shared is not None:
            shared.forget(project_name(forgotten))
            store.note_unshared(forgotten)
    except (ConfigError, StoreAway) as error:
        left.append(f"Its files in the artefact store are deleted as soon as that answers. {error.message}")
    return " ".join(left)
