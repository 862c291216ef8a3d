"""Changes a project's settings where they are kept: in the extra params of its connection in Label Studio.

Label Studio sends what it keeps with every /setup, so that there is one truth, and its own form
under Settings > Model shows it too.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings
from pt4al_backend.config.project import as_object, refused_settings
from pt4al_backend.engine import labeling_config
from pt4al_backend.engine.access import client_for, registration_for
from pt4al_backend.errors import ConfigError, NotNow
from pt4al_backend.label_studio.registration import Registration
from pt4al_backend.query import plan
from pt4al_backend.state.lease import locked
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

BY_HAND = "Change the extra params in Label Studio: Settings > Model > Edit."
SOMEBODY_ELSE = "The settings were changed in Label Studio since this page was loaded, so nothing was written."

AT_THIS_MOMENT = "Somebody else is changing the settings at this moment, so nothing was written."


class SettingsRefused(ConfigError):
    """Values are not allowed; ``fields`` says why, by settings, and under "" what concerns several."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        named = "; ".join(f"{name}: {reason}" if name else reason for name, reason in fields.items())
        super().__init__(f"Nothing was changed. {named}", "Correct these settings and save again.")
        self.fields = dict(fields)


def version_of(params: Mapping[str, Any]) -> str:
    """Tells extra params from others."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:16]


def changed(project: Project, params: Mapping[str, Any], changes: Mapping[str, str | None]) -> Json:
    """Extra params with some settings changed, by the text that a form holds; None takes one out.

    Raises:
        SettingsRefused: a setting is not known, or a value not allowed.
    """
    unknown = {name: "there is no such setting" for name in changes if name not in ProjectSettings.model_fields}
    wanted = {name: value for name, value in params.items() if name not in changes}
    given = {name: text for name, text in changes.items() if text is not None}
    problems = {**unknown, **refused_settings({**wanted, **given})}
    if problems:
        raise SettingsRefused(problems)
    options = project_settings({**wanted, **given})
    try:
        plan.require_fit(options, labeling_config.wanted(project, project.label_config, options.control).task)
    except ConfigError as error:
        raise SettingsRefused({"": f"{error.message} {error.remedy}"}) from error
    for name, text in given.items():
        value = getattr(options, name)
        wanted[name] = text if value is None else value
    return wanted


def write(settings: ServerSettings, store: Store, project: Project, read: str, changes: Mapping[str, str | None]) -> Json:
    """Changes settings in Label Studio; returns the extra params that it has now.

    Args:
        read: ``version_of`` the extra params that the changes were made to.

    Raises:
        SettingsRefused: a value is not allowed.
        NotNow: somebody else has changed them since or is about to, or it is not clear which connection is this backend's.
        LabelStudioError, AuthError: Label Studio cannot be reached or refuses.
    """
    changed(project, project.params, changes)
    registration = registration_for(settings, store, client_for(settings, project), project.id)
    # Label Studio calls this backend before it has written: who reads meanwhile would undo what is being written
    with locked(settings.data_dir / "leases" / f"settings-{project.id}") as lease:
        if lease is None:
            raise NotNow(AT_THIS_MOMENT, "Reload the page in a moment: it shows what they are then.")
        entry = _connection(registration, project)
        params = as_object(entry.get("extra_params"))
        if version_of(params) != read:
            raise NotNow(SOMEBODY_ELSE, "Reload the page: it shows what they are now.")
        wanted = changed(project, params, changes)
        registration.write_params(entry, wanted)
    return wanted


def _connection(registration: Registration, project: Project) -> Json:
    """The entry under Settings > Model that is this backend."""
    entries = registration.backends()
    ours = registration.ours(entries) or [each for each in entries if urlsplit(str(each["url"])).hostname == project.backend_host]
    if len(ours) != 1:
        found = "None" if not ours else f"{len(ours)}"
        raise NotNow(
            f"{found} of the project's connections in Label Studio answers as this backend; it takes exactly one.", BY_HAND
        )
    return ours[0]
