"""The web process listens beyond this machine only with a password, or if somebody asked for that by name."""

from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.config.exposure import is_loopback, require_guarded
from pt4al_backend.errors import ConfigError

PASSWORD = {"basic_auth_user": "studio", "basic_auth_pass": "word"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost", "::ffff:127.0.0.1", "127.1"])
def test_loopback_needs_no_password(host: str) -> None:
    assert is_loopback(host)
    require_guarded(ServerSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "0", "10.0.0.7", "192.168.1.2", "::ffff:10.0.0.7", "no-such-name.invalid"])
def test_open_port_without_password_is_refused_with_what_to_set(host: str) -> None:
    with pytest.raises(ConfigError) as refused:
        require_guarded(ServerSettings(host=host))
    for name in ("PT4AL_HOST", "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "PT4AL_INSECURE", "--insecure"):
        assert name in str(refused.value)


@pytest.mark.parametrize("allowed", [PASSWORD, {"insecure": True}])
def test_open_port_is_allowed_with_a_password_or_by_name(allowed: dict[str, Any]) -> None:
    require_guarded(ServerSettings(host="0.0.0.0", **allowed))
