"""The base class of models. Importing it makes a file of values in ``MODEL_DIR``, or else in the working directory."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


class Values:
    """Values of each project, in a file. Nothing but texts can be kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run("CREATE TABLE IF NOT EXISTS kept (project TEXT, name TEXT, value TEXT, PRIMARY KEY (project, name))")

    def put(self, project: str, name: str, value: str) -> None:
        if not isinstance(value, str):
            raise ValueError("only texts can be kept")
        self._run("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", project, name, value)

    def find(self, project: str, name: str) -> str | None:
        found = self._run("SELECT value FROM kept WHERE project = ? AND name = ?", project, name)
        return found[0][0] if found else None

    def _run(self, statement: str, *values: str) -> list[tuple[str]]:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            return connection.execute(statement, values).fetchall()


VALUES = Values(Path(os.environ.get("MODEL_DIR", ".")).absolute() / "cache.db")


class LabelStudioMLBase:
    """Made for every request."""

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None:
            self.use_label_config(label_config)
        if not self.get("model_version"):
            self.set("model_version", "0.0.1")
        self.setup()

    def setup(self) -> None:
        """For subclasses."""

    def use_label_config(self, label_config: str) -> None:
        if not label_config.startswith("<View"):
            raise ValueError("the config cannot be parsed")
        if self.get("label_config") != label_config:
            self.set("label_config", label_config)

    def set_extra_params(self, extra_params: Any) -> None:
        self.set("extra_params", extra_params)

    @property
    def label_config(self) -> str | None:
        return self.get("label_config")

    def get(self, key: str) -> str | None:
        return VALUES.find(self.project_id, key)

    def set(self, key: str, value: str) -> None:
        VALUES.put(self.project_id, key, value)

    def predict(self, tasks: Any, context: Any = None, **options: Any) -> Any:
        """For subclasses."""

    def fit(self, event: str, data: Any, **options: Any) -> Any:
        """For subclasses."""
