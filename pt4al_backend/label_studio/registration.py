"""What Label Studio keeps about this backend: its entry under Settings > Model, and the webhook that goes with it."""

import base64
from typing import Any

from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.settings import Settings

Json = dict[str, Any]


class Registration:
    """This backend as one project's Label Studio knows it."""

    def __init__(self, settings: Settings, client: LabelStudio, project_id: int) -> None:
        self._settings = settings
        self._client = client
        self._project_id = project_id

    def backends(self) -> list[Json]:
        """Entries under Settings > Model. Label Studio calls /health and /setup of each before it answers."""
        return self._client.ml_backends(self._project_id)

    def titles(self) -> list[str]:
        """Their titles, which Label Studio writes into the project's model version."""
        return [str(backend.get("title") or "") for backend in self.backends()]

    def mend_webhook(self) -> str:
        """Gives the webhook the header that basic auth asks for; returns a notice if there is no webhook.

        Label Studio sends the credentials of the connection with every request but the webhook's. They go only to a
        webhook beside a backend entry that holds the same user name: another backend must not learn the password.
        """
        backends, hooks = self.backends(), self._client.webhooks(self._project_id)
        ours = [backend for backend in backends if self._is_ours(backend)]
        urls = {str(backend["url"]).rstrip("/") + "/webhook" for backend in ours}
        found = [hook for hook in hooks if hook["url"] in urls]
        if ours and not found:
            return (
                f"Label Studio has no webhook for this project, so it is looked at every {self._settings.poll_seconds:g} s. "
                "Set ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false for Label Studio if the backend has a private "
                "address, use a host name with a dot, then remove the backend under Settings > Model and connect it again."
            )
        header = self.header()
        for hook in found:
            if header and (hook.get("headers") or {}).get("Authorization") != header:
                headers = {**(hook.get("headers") or {}), "Authorization": header}
                self._client.update_webhook(hook["id"], url=hook["url"], send_payload=hook["send_payload"], headers=headers)
        return ""

    def header(self) -> str:
        """The Authorization header of basic auth; empty if it is off."""
        if not self._settings.basic_auth_user:
            return ""
        pair = f"{self._settings.basic_auth_user}:{self._settings.basic_auth_pass}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _is_ours(self, backend: Json) -> bool:
        return not self._settings.basic_auth_user or backend.get("basic_auth_user") == self._settings.basic_auth_user
