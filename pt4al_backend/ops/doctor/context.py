"""What the checks inspect: the server, a project, a connection. Each part is read once, when it is first needed."""

from dataclasses import dataclass
from functools import cached_property

from pt4al_backend.aliases import Json
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.access import client_for, registration_for
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.identity import instance_at
from pt4al_backend.label_studio.registration import Registration
from pt4al_backend.state.opening import open_store
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store


@dataclass
class ServerContext:
    """The server, and the projects to check: the one with ``project_id``, or all that are connected."""

    settings: ServerSettings
    project_id: int | None = None

    @cached_property
    def store(self) -> Store | None:
        """The state, or None if no process has made it yet.

        Raises:
            ConfigError: it cannot be opened.
        """
        settings = self.settings
        if not settings.database_url and not (settings.data_dir / "state.sqlite3").exists():
            return None
        return open_store(settings)

    @cached_property
    def projects(self) -> dict[int, Project | None]:
        """By number; None is a project that never connected. Without a state that a check could open, only ``project_id``."""
        store: Store | None = self.__dict__.get("store")
        numbers = [self.project_id] if self.project_id is not None else store.project_ids() if store else []
        return {number: store.project(number) if store else None for number in numbers}


@dataclass
class ProjectContext:
    """A connected project, here and in Label Studio."""

    settings: ServerSettings
    store: Store
    project: Project

    @property
    def topic(self) -> str:
        """What the findings about it are headed with."""
        return f"Project {self.project.id}"

    @cached_property
    def client(self) -> LabelStudio:
        """The client with the project's address and token."""
        return client_for(self.settings, self.project)

    @cached_property
    def remote(self) -> Json:
        """The project as Label Studio has it."""
        return self.client.project(self.project.id)

    @cached_property
    def registration(self) -> Registration:
        """The backend's entry in Label Studio."""
        return registration_for(self.settings, self.store, self.client, self.project.id)

    @cached_property
    def backends(self) -> list[Json]:
        """The ML backends that the project lists."""
        return self.registration.backends()

    @property
    def listed_backends(self) -> list[Json]:
        """The same, if a check could read them."""
        return list(self.__dict__.get("backends", []))

    @cached_property
    def hooks(self) -> list[Json]:
        """The webhooks of the project."""
        return self.client.webhooks(self.project.id)


@dataclass
class ConnectionContext:
    """One ML backend that a project lists."""

    of: ProjectContext
    backend: Json

    @property
    def url(self) -> str:
        """Its address, as Label Studio has it."""
        return str(self.backend.get("url") or "").rstrip("/")

    @cached_property
    def instance(self) -> str | None:
        """The instance id that /health gives there; "" for none, None if nothing answers from here."""
        return instance_at(self.url)
