"""Which Label Studio is used, with which token."""

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.access import client_for
from pt4al_backend.errors import AuthError
from pt4al_backend.state.schema import Project

ADMIN, THEIRS = "a" * 40, "b" * 40


def project(hostname: str = "http://theirs.example", access_token: str = THEIRS) -> Project:
    return Project(id=3, hostname=hostname, access_token=access_token)


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        ("", "", ("http://theirs.example", THEIRS)),
        ("http://ours.example", "", ("http://ours.example", THEIRS)),
        ("http://ours.example", ADMIN, ("http://ours.example", ADMIN)),
    ],
)
def test_settings_of_the_admin_win(settings: ServerSettings, url: str, key: str, expected: tuple[str, str]) -> None:
    changed = settings.model_copy(update={"label_studio_url": url, "label_studio_api_key": key})
    client = client_for(changed, project())
    assert (client.url, client.authorization()) == (expected[0], {"Authorization": f"Token {expected[1]}"})


def test_missing_address_and_token_are_named_with_where_to_set_them(settings: ServerSettings) -> None:
    with pytest.raises(AuthError, match=r"No address and no token .* LABEL_STUDIO_URL .* LABEL_STUDIO_API_KEY"):
        client_for(settings, project("", ""))
    with pytest.raises(AuthError, match="No token of"):
        client_for(settings, project(access_token=""))
