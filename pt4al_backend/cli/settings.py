"""The settings of a command: read from the environment and its options, with a warning of variables that are none."""

from typing import Any

from pt4al_backend.config import ServerSettings, project_settings, server_settings
from pt4al_backend.config.environment import misspelt
from pt4al_backend.config.refusal import IN_ENVIRONMENT
from pt4al_backend.ops import terminal


def read_server_settings(*, supervised: bool = False, **overrides: Any) -> ServerSettings:
    """Reads the server's settings, and warns of variables that are none; the supervisor has done that for its children."""
    for sentence in [] if supervised else misspelt():
        terminal.warn(f"Warning: {sentence}")
    return server_settings(**{name: value for name, value in overrides.items() if value is not None})


def read_settings(*, supervised: bool = False, **overrides: Any) -> ServerSettings:
    """The same, once those that the environment gives to all projects are known to be right as well."""
    settings = read_server_settings(supervised=supervised, **overrides)
    project_settings(where=IN_ENVIRONMENT)
    return settings
