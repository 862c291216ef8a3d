"""Checks of the way to Label Studio: it answers, and takes the token."""

import requests
from requests.adapters import HTTPAdapter

from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.http import checked_url
from pt4al_backend.ops.doctor.connection import shown
from pt4al_backend.ops.doctor.context import ServerContext
from pt4al_backend.ops.doctor.finding import ANSWER_SECONDS, CheckFailed, CheckWarns

SET_URL = "Set LABEL_STUDIO_URL to Label Studio's address as seen from here, such as http://label-studio.example:8080."


def label_studio(server: ServerContext) -> str:
    """Label Studio answers at the address that is set."""
    if not server.settings.label_studio_url:
        raise CheckWarns("No address is set; the one that Label Studio gives on connecting is used.", SET_URL)
    url = checked_url(server.settings.label_studio_url)
    try:
        response = requests.get(f"{url}/api/version", timeout=ANSWER_SECONDS, allow_redirects=False)
        release = response.json().get("release") if response.ok else None
    except requests.exceptions.JSONDecodeError:
        release = None
    except requests.RequestException as error:
        raise CheckFailed(f"{shown(url)} does not answer ({type(error).__name__}).", f"Start it. {SET_URL}") from None
    if not release:
        raise CheckFailed(f"{shown(url)} does not answer as Label Studio does.", SET_URL)
    return f"{release} at {shown(url)}"


def token(server: ServerContext) -> str:
    """Label Studio takes the token that is set."""
    settings = server.settings
    if not settings.label_studio_api_key:
        raise CheckWarns(
            "None is set; the one that Label Studio gives on connecting works only where legacy tokens are on.",
            "Set LABEL_STUDIO_API_KEY to a personal access token of an admin (Account & Settings > Personal Access Token).",
        )
    # without retries: whether Label Studio answers at all is the check before this one
    client = LabelStudio(
        settings.label_studio_url, settings.label_studio_api_key, timeout=ANSWER_SECONDS, adapter=HTTPAdapter(max_retries=0)
    )
    kind = {"personal": "personal access token", "legacy": "legacy token"}[client.token_kind]
    return f"{kind} of {client.whoami().get('email')}, which Label Studio takes"
