"""What Label Studio keeps about this backend: its entry under Settings > Model, the webhook that goes with it, a tab."""

import base64
import binascii
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pt4al_backend.aliases import Json
from pt4al_backend.config import ServerSettings
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.identity import ANSWER_SECONDS, instance_at

#: Serves the lowest score of the project's model version first.
SAMPLING = "Uncertainty sampling"
#: What a project has in which nobody has chosen.
SEQUENTIAL = "Sequential sampling"
#: Names of the tabs that show the queue, and what somebody chose on the map; and the prefix of our model versions.
VIEW = "PT4AL queue"
MAP_VIEW = "PT4AL map"
PREFIX = "pt4al-"

#: Carries the webhook's secret. Label Studio sends it with every event, and its members can read it.
WEBHOOK_HEADER = "X-PT4AL-Webhook"

#: Seconds in which the entries of a project are asked who they are; those that are left count as another backend's.
ASKING_SECONDS = 15.0

#: Columns that the tab shows although Label Studio hides them by default.
SHOWN = ("predictions_score", "predictions_model_versions")


@dataclass(frozen=True)
class Identity:
    """What tells this backend from others, and the secret that opens its /webhook."""

    instance: str
    webhook_secret: str


class Registration:
    """This backend as one project's Label Studio knows it.

    Attributes:
        host: the name under which Label Studio reaches it; "" before ``repair_webhook``, and if no connection is ours.
    """

    def __init__(self, settings: ServerSettings, identity: Identity, client: LabelStudio, project_id: int) -> None:
        self._settings = settings
        self._identity = identity
        self.host = ""
        self._client = client
        self._project_id = project_id

    def backends(self) -> list[Json]:
        """Entries under Settings > Model. Label Studio calls /health and /setup of each before it answers."""
        return self._client.ml_backends(self._project_id)

    def titles(self) -> list[str]:
        """Their titles, which Label Studio writes into the project's model version."""
        return [str(backend.get("title") or "") for backend in self.backends()]

    def ours(self, backends: Sequence[Json]) -> list[Json]:
        """The entries at whose address this backend answers, as seen from here: /health there gives its instance id.

        What an entry says of itself proves nothing, as every member of the project can add one.
        """
        deadline = time.monotonic() + ASKING_SECONDS
        found = []
        for backend in backends:
            left = deadline - time.monotonic()
            if left > 0 and instance_at(str(backend["url"]), min(left, ANSWER_SECONDS)) == self._identity.instance:
                found.append(backend)
        return found

    def write_params(self, backend: Json, params: Json) -> None:
        """Writes the extra params of an entry, as the text that the form under Settings > Model shows and takes.

        Raises:
            LabelStudioError: Label Studio refuses, or this backend refused the /setup that came with it.
        """
        kept = {name: backend[name] for name in ("url", "title", "auth_method", "basic_auth_user") if backend.get(name)}
        login = {"basic_auth_pass": ""} if backend.get("basic_auth_pass_is_set") else {}
        text = json.dumps(params, ensure_ascii=False) if params else ""
        self._client.update_ml_backend(int(backend["id"]), project=self._project_id, extra_params=text, **kept, **login)

    def repair_webhook(self) -> str:
        """Gives our webhook its secret; returns a notice if there is no webhook to give it to.

        A password that an earlier version wrote into a webhook is removed, whoever the webhook's address belongs to.
        """
        backends, hooks = self.backends(), self._client.webhooks(self._project_id)
        ours = self.ours(backends)
        self.host = next((urlsplit(str(backend["url"])).hostname or "" for backend in ours), "")
        urls = {_webhook_url(backend) for backend in ours}
        for hook in hooks:
            self._repair(hook, is_ours=hook["url"] in urls)
        if self._settings.basic_auth_user and not ours:
            return (
                "None of the project's connections under Settings > Model answers as this backend, as seen from the worker, so "
                f"its webhook is refused. The project is checked every {self._settings.poll_seconds:g} s instead. "
                "Connect the backend there under an address that Label Studio and the worker can both reach."
            )
        expected = urls or {_webhook_url(backend) for backend in backends}  # without basic auth, a webhook needs no secret
        if backends and not any(hook["url"] in expected for hook in hooks):
            return (
                f"Label Studio has no webhook for this project, so it is checked every {self._settings.poll_seconds:g} s. "
                "Set ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false for Label Studio if the backend has a private "
                "address, use a host name with a dot, then remove the backend under Settings > Model and connect it again."
            )
        return ""

    def has_secret(self, hook: Json) -> bool:
        """Whether a webhook carries the secret that /webhook takes."""
        return bool(_headers(hook).get(WEBHOOK_HEADER) == self._identity.webhook_secret)

    def _repair(self, hook: Json, *, is_ours: bool) -> None:
        headers = _headers(hook)
        wanted = {name: value for name, value in headers.items() if name != "Authorization" or not self._is_password(value)}
        if is_ours:
            wanted[WEBHOOK_HEADER] = self._identity.webhook_secret
        if wanted != headers:
            self._client.update_webhook(hook["id"], url=hook["url"], send_payload=hook["send_payload"], headers=wanted)

    def _is_password(self, header: str) -> bool:
        """Whether a header holds the credentials of basic auth, with today's password or an earlier one."""
        user, (scheme, _, encoded) = self._settings.basic_auth_user, str(header).partition(" ")
        try:
            pair = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        return bool(user) and scheme == "Basic" and pair.startswith((f"{user}:".encode(), f"{user}:".encode("latin-1")))

    def add_view(self) -> bool:
        """Adds a tab to the Data Manager that shows the queue in its order; False while the Data Manager has no tab at all.

        Its first tab appears when somebody opens it; ours would take that one's place.
        """
        if not self._client.views(self._project_id):
            return False
        columns = self._client.columns(self._project_id)
        hidden = {
            place: [f"tasks:{column['id']}" for column in columns if not self._is_shown(column, place)]
            for place in ("explore", "labeling")
        }
        waiting = [
            {"filter": "filter:tasks:predictions_score", "operator": "empty", "type": "Number", "value": False},
            {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0},
        ]
        self._client.create_view(
            self._project_id,
            VIEW,
            ordering=["tasks:predictions_score"],
            filters={"conjunction": "and", "items": waiting},
            hiddenColumns=hidden,
        )
        return True

    def show_tasks(self, ids: Sequence[int]) -> int:
        """Shows tasks in a tab of the Data Manager, one for all such requests; returns its id."""
        if not self._client.views(self._project_id):  # the first tab is the one that people expect to hold all tasks
            self._client.create_view(self._project_id, "Default")
        # one condition for each: the Data Manager would take a list in one, but its page knows no such condition and stays empty
        any_of = [{"filter": "filter:tasks:id", "operator": "equal", "type": "Number", "value": task} for task in ids]
        data = {"filters": {"conjunction": "or", "items": any_of}}
        view = int(self._client.create_view(self._project_id, MAP_VIEW)["id"])
        self._client.update_view(self._project_id, view, MAP_VIEW, **data)
        return view

    def _is_shown(self, column: Json, place: str) -> bool:
        return (place == "explore" and column["id"] in SHOWN) or bool((column.get("visibility_defaults") or {}).get(place, True))


def _webhook_url(backend: Json) -> str:
    return str(backend["url"]).rstrip("/") + "/webhook"


def _headers(hook: Json) -> dict[str, str]:
    return dict(hook.get("headers") or {})
