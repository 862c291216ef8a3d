"""Settings of the server and of each project."""

from pt4al_backend.config.project import EXTRA_PARAMS, ProjectSettings, project_settings
from pt4al_backend.config.server import ServerSettings, server_settings

__all__ = ["EXTRA_PARAMS", "ProjectSettings", "ServerSettings", "project_settings", "server_settings"]
