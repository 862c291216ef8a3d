"""Where the demo's project stands, as the backend's status API shows it."""

import requests

from pt4al_backend.errors import Unreachable
from pt4al_backend.server.status import ProjectStatus


class BackendStatus:
    """One project at the backend's status API; ``url`` is the backend's address."""

    def __init__(self, url: str, project_id: int) -> None:
        self._url = f"{url}/api/projects/{project_id}"

    def status(self) -> ProjectStatus:
        """Where the project stands.

        Raises:
            Unreachable: the backend does not answer.
        """
        try:
            response = requests.get(self._url, timeout=30)
            response.raise_for_status()
            return ProjectStatus.model_validate(response.json())
        except requests.RequestException as error:
            raise Unreachable(f"The backend does not answer at {self._url}.", "See its log.") from error
