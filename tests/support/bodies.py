"""Bodies as Label Studio 1.23.2 sends them, shortened to what differs between requests."""

from typing import Any

from pt4al_backend.aliases import Json

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="c" toName="image">'
    '<Choice value="a"/><Choice value="b"/></Choices></View>'
)
TOKEN = "8c1f0a4be2d94c6fb7d35d1e9a60c0ffee123456"


def setup(project: str = "3.1795241480", **fields: Any) -> Json:
    """Of /setup; ``fields`` replace or add keys."""
    body = {
        "project": project,
        "schema": CONFIG,
        "hostname": "http://label-studio.example:8080",
        "access_token": TOKEN,
        "extra_params": None,
    }
    return {**body, **fields}


def predict(*ids: int, project: str = "3.1795241480") -> Json:
    """Of /predict, for tasks of these ids."""
    params = {"login": None, "password": None, "context": None}
    return {"tasks": [task(i) for i in ids], "project": project, "label_config": CONFIG, "params": params}


def task(task_id: int) -> Json:
    """A task, with the fields that Label Studio sends beside the two that matter."""
    return {
        "id": task_id,
        "data": {"image": f"/data/upload/3/{task_id}.png"},
        "meta": {},
        "created_at": "2026-11-21T06:12:08.597514Z",
        "updated_at": "2026-11-21T06:12:08.597519Z",
        "is_labeled": False,
        "overlap": 1,
        "project": 3,
        "annotations": [],
        "predictions": [],
    }


def event(action: str = "ANNOTATION_CREATED", project: int = 3, **fields: Any) -> Json:
    """Of /webhook."""
    about = {"id": project, "title": "conn", "label_config": CONFIG, "label_config_hash": 7067609724639365657, "token": "0" * 40}
    return {"action": action, "project": about, **fields}
