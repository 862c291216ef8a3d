"""Settings of the server and of each project."""

from pt4al_backend.config.settings import EXTRA_PARAMS, ProjectSettings, ServerSettings, project_settings, server_settings

__all__ = ["EXTRA_PARAMS", "ProjectSettings", "ServerSettings", "project_settings", "server_settings"]
