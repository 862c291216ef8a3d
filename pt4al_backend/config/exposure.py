"""Whether the web process may listen where the settings say: beyond this machine only with a password, or by name."""

import ipaddress
import socket

from pt4al_backend.config.server import ServerSettings
from pt4al_backend.errors import ConfigError

#: What to set, for every place that says so.
REMEDY = (
    "Set BASIC_AUTH_USER and BASIC_AUTH_PASS, and enter them in Label Studio, Settings > Model. If something else guards the "
    "port, set PT4AL_INSECURE=1 (or start with --insecure). PT4AL_HOST=127.0.0.1 listens for this machine alone."
)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``; a name counts if all of its addresses do."""
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)}  # noqa: S104
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(each.partition("%")[0]) for each in found]
    return all((getattr(each, "ipv4_mapped", None) or each).is_loopback for each in addresses)


def exposed(settings: ServerSettings) -> bool:
    """Whether others than this machine reach the web process, and it requires no password."""
    return not settings.basic_auth_user and not is_loopback(settings.host)


def require_guarded(settings: ServerSettings) -> None:
    """Refuses an open port that was not allowed by name.

    Raises:
        ConfigError: the web process would listen beyond this machine, without a password, and PT4AL_INSECURE is not set.
    """
    if exposed(settings) and not settings.insecure:
        raise ConfigError(
            f"PT4AL_HOST={settings.host} lets other machines reach the backend, and no password is set: anybody could read the "
            "pages, start trainings and connect projects.",
            REMEDY,
        )
