"""What Label Studio keeps about this backend: its entry under Settings > Model, the webhook that goes with it, a tab."""

import base64
from typing import Any

from pt4al_backend.config import ServerSettings
from pt4al_backend.label_studio.client import LabelStudio

Json = dict[str, Any]

#: Serves the lowest score of the project's model version first.
SAMPLING = "Uncertainty sampling"
#: The tab that shows the queue, and how the model versions of ours begin.
VIEW = "PT4AL queue"
PREFIX = "pt4al-"

#: Columns that the tab shows although Label Studio hides them by default.
SHOWN = ("predictions_score", "predictions_model_versions")


class Registration:
    """This backend as one project's Label Studio knows it."""

    def __init__(self, settings: ServerSettings, client: LabelStudio, project_id: int) -> None:
        self._settings = settings
        self._client = client
        self._project_id = project_id

    def backends(self) -> list[Json]:
        """Entries under Settings > Model. Label Studio calls /health and /setup of each before it answers."""
        return self._client.ml_backends(self._project_id)

    def titles(self) -> list[str]:
        """Their titles, which Label Studio writes into the project's model version."""
        return [str(backend.get("title") or "") for backend in self.backends()]

    def repair_webhook(self) -> str:
        """Gives the webhook the header that basic auth asks for; returns a notice if there is no webhook to give it to.

        Label Studio sends the credentials of the connection with every request but the webhook's. They go only to a
        webhook beside a backend entry that holds the same user name: another backend must not learn the password.
        """
        backends, hooks = self.backends(), self._client.webhooks(self._project_id)
        ours = [backend for backend in backends if self._is_ours(backend)]
        urls = {str(backend["url"]).rstrip("/") + "/webhook" for backend in ours}
        found = [hook for hook in hooks if hook["url"] in urls]
        header = self.header()
        if header and not ours:
            return (
                f"Label Studio has no connection with the user name {self._settings.basic_auth_user!r} for this project, so its "
                f"webhook is refused. The project is checked every {self._settings.poll_seconds:g} s instead. "
                "Give the user name and the password of this backend under Settings > Model > Edit."
            )
        if ours and not found:
            return (
                f"Label Studio has no webhook for this project, so it is checked every {self._settings.poll_seconds:g} s. "
                "Set ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false for Label Studio if the backend has a private "
                "address, use a host name with a dot, then remove the backend under Settings > Model and connect it again."
            )
        for hook in found:
            if header and (hook.get("headers") or {}).get("Authorization") != header:
                headers = {**(hook.get("headers") or {}), "Authorization": header}
                self._client.update_webhook(hook["id"], url=hook["url"], send_payload=hook["send_payload"], headers=headers)
        return ""

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

    def _is_shown(self, column: Json, place: str) -> bool:
        return (place == "explore" and column["id"] in SHOWN) or bool((column.get("visibility_defaults") or {}).get(place, True))

    def header(self) -> str:
        """The Authorization header of basic auth; empty if it is off."""
        if not self._settings.basic_auth_user:
            return ""
        pair = f"{self._settings.basic_auth_user}:{self._settings.basic_auth_pass}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _is_ours(self, backend: Json) -> bool:
        return not self._settings.basic_auth_user or backend.get("basic_auth_user") == self._settings.basic_auth_user
