"""A person at Label Studio's pages, without the pages: the requests that a browser sends, for the demo and the tests.

>>> lead = Annotator("http://localhost:8080", "lead@example.com", "a long password")
>>> lead.log_in()
>>> project_id = lead.create_project("Digits", label_config)
>>> lead.connect_backend(project_id, "http://localhost:9090")
>>> while (task := lead.next_task(project_id)) is not None:
...     lead.annotate(task["id"], Choices(config).regions("7", None, None))
"""

import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import requests

from pt4al_backend.aliases import Json
from pt4al_backend.errors import AuthError, LabelStudioError, Unreachable

#: Files that Label Studio takes in one request (its DATA_UPLOAD_MAX_NUMBER_FILES).
FILES_PER_REQUEST = 100


class Annotator:
    """One user of a Label Studio, in one browser session. Not to be shared between threads.

    Every method raises `LabelStudioError` with Label Studio's own reason, `Unreachable` if it does not answer.
    """

    def __init__(self, url: str, email: str, password: str, *, timeout: tuple[float, float] = (3.05, 120.0)) -> None:
        self.url = url.rstrip("/")
        self.email = email
        self._password = password
        self._timeout = timeout
        self._session = requests.Session()

    def __repr__(self) -> str:
        return f"Annotator({self.url!r}, {self.email!r})"

    def sign_up(self) -> None:
        """Makes an account and logs in to it.

        Raises:
            AuthError: the address is taken, the password too weak, or signing up is closed.
        """
        self._form("/user/signup/")

    def log_in(self) -> None:
        """Logs in to an account that exists.

        Raises:
            AuthError: Label Studio knows no such pair of address and password.
        """
        self._form("/user/login/")

    def create_project(self, title: str, label_config: str, **settings: Any) -> int:
        """Makes a project and returns its id.

        Args:
            title: 3 to 50 characters.
            settings: other fields of a project, such as description.
        """
        project = self._call("POST", "/api/projects/", json={"title": title, "label_config": label_config, **settings})
        return int(project["id"])

    def upload_images(self, project_id: int, paths: Iterable[Path]) -> list[int]:
        """Uploads files, one task each; returns the tasks' ids in the order of ``paths``."""
        remaining = iter(paths)
        ids: list[int] = []
        while chunk := list(islice(remaining, FILES_PER_REQUEST)):
            files = [(f"file{i}", (path.name, path.read_bytes(), _type(path))) for i, path in enumerate(chunk)]
            ids += self._import(project_id, files=files)
        return ids

    def import_tasks(self, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Imports tasks such as ``{"data": {"image": "https://…"}}``; returns their ids in the same order."""
        return self._import(project_id, json=list(tasks))

    def connect_backend(
        self,
        project_id: int,
        url: str,
        *,
        title: str = "PT4AL",
        basic_auth: tuple[str, str] | None = None,
        extra_params: Mapping[str, Any] | str | None = None,
    ) -> int:
        """Connects an ML backend as Settings > Model does; returns the connection's id.

        Args:
            basic_auth: user name and password that the backend requires.
            extra_params: an object, or the text that one would type into the form.
        """
        user, password = basic_auth or ("", "")
        login = {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password} if basic_auth else {}
        body = {"project": project_id, "title": title, "url": url, "is_interactive": False, "auth_method": "NONE", **login}
        if extra_params is not None:
            body["extra_params"] = extra_params if isinstance(extra_params, str) else dict(extra_params)
        return int(self._call("POST", "/api/ml/", json=body)["id"])

    def next_task(self, project_id: int) -> Json | None:
        """The task that *Label All Tasks* shows next, None if there is none left for this user."""
        params = {"id": "next_task", "project": project_id}
        response = self._send("POST", "/api/dm/actions", params=params, json={"project": str(project_id)})
        return None if response.status_code == 404 else dict(_checked(response))

    def task(self, task_id: int) -> Json:
        """A task as the editor opens it, with predictions and annotations."""
        return dict(self._call("GET", f"/api/tasks/{task_id}"))

    def annotate(self, task_id: int, regions: Sequence[Json], *, accepting: int | None = None) -> int:
        """Submits what was chosen or drawn; returns the annotation's id.

        Args:
            regions: as ``LabelReader.regions`` makes them.
            accepting: id of the prediction that was shown and is submitted unchanged.
        """
        origin = "manual" if accepting is None else "prediction"
        body: Json = {"result": [{**region, "origin": origin} for region in regions], "lead_time": 1.0}
        if accepting is not None:
            body["parent_prediction"] = accepting
        return int(self._call("POST", f"/api/tasks/{task_id}/annotations/", json=body)["id"])

    def change_annotation(self, annotation_id: int, regions: Sequence[Json]) -> None:
        """Submits something else in place of an annotation's regions."""
        body = {"result": [{**region, "origin": "manual"} for region in regions]}
        self._call("PATCH", f"/api/annotations/{annotation_id}/", json=body)

    def skip(self, task_id: int) -> int:
        """Skips a task; returns the id of the annotation that records it."""
        body: Json = {"result": [], "was_cancelled": True, "lead_time": 1.0}
        return int(self._call("POST", f"/api/tasks/{task_id}/annotations/", json=body)["id"])

    def delete_annotation(self, annotation_id: int) -> None:
        """Deletes an annotation; its task is requested again."""
        self._call("DELETE", f"/api/annotations/{annotation_id}/")

    def change_data(self, task_id: int, data: Mapping[str, Any]) -> None:
        """Replaces the data of a task."""
        self._call("PATCH", f"/api/tasks/{task_id}/", json={"data": dict(data)})

    def delete_task(self, task_id: int) -> None:
        """Deletes a task with all that belongs to it."""
        self._call("DELETE", f"/api/tasks/{task_id}/")

    def start_training(self, backend_id: int) -> None:
        """Presses *Start Training* on the card of a connected backend."""
        self._call("POST", f"/api/ml/{backend_id}/train", json={})

    def create_personal_access_token(self) -> str:
        """Makes a personal access token; Label Studio shows it once, and allows one at a time."""
        return str(self._call("POST", "/api/token/", json={})["token"])

    def enable_legacy_tokens(self) -> str:
        """Switches legacy tokens on for the organization; returns this user's."""
        self.set_tokens(personal=True, legacy=True)
        return str(self._call("GET", "/api/current-user/token")["token"])

    def set_tokens(self, *, personal: bool, legacy: bool) -> None:
        """Switches the two kinds of token on or off for the organization."""
        self._call("POST", "/api/jwt/settings", json={"api_tokens_enabled": personal, "legacy_api_tokens_enabled": legacy})

    def _form(self, path: str) -> None:
        self._session.cookies.clear()
        self._send("GET", path)
        token = self._session.cookies.get("csrftoken", "")
        data = {"email": self.email, "password": self._password, "csrfmiddlewaretoken": token}
        if self._send("POST", path, data=data).status_code != 302:
            what = "account" if path == "/user/login/" else "new account"
            raise AuthError(f"Label Studio at {self.url} refuses the {what} of {self.email}.", "Check address and password.")

    def _import(self, project_id: int, **body: Any) -> list[int]:
        params = {"return_task_ids": "1", "commit_to_project": "true"}
        return [int(i) for i in self._call("POST", f"/api/projects/{project_id}/import", params=params, **body)["task_ids"]]

    def _call(self, method: str, path: str, **options: Any) -> Any:
        return _checked(self._send(method, path, **options))

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"X-CSRFToken": self._session.cookies.get("csrftoken", ""), "Referer": self.url}
        try:
            return self._session.request(
                method, self.url + path, headers=headers, timeout=self._timeout, allow_redirects=False, **options
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Unreachable(f"Label Studio at {self.url} does not answer.", "Start it.") from error


def _checked(response: requests.Response) -> Any:
    request = response.request
    if response.status_code >= 300:
        try:
            body = response.json()
            detail = json.dumps([body.get("detail"), body.get("validation_errors")] if isinstance(body, dict) else body)
        except requests.exceptions.JSONDecodeError:
            detail = "no details"
        raise LabelStudioError(f"{request.method} {request.path_url}: HTTP {response.status_code}, {detail[:300]}")
    return response.json() if response.content else None


def _type(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
