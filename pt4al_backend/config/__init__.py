"""Settings of the server and of each project."""

from pt4al_backend.config.project import EXTRA_PARAMS, Affects, ProjectSettings, project_settings
from pt4al_backend.config.server import Device, Pretrained, ServerSettings, server_settings

__all__ = [
    "EXTRA_PARAMS",
    "Affects",
    "Device",
    "Pretrained",
    "ProjectSettings",
    "ServerSettings",
    "project_settings",
    "server_settings",
]
