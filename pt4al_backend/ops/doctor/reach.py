"""Whether Label Studio and the backend reach each other: the part of ``pt4al doctor`` about connection and webhook."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from pt4al_backend.config import ServerSettings
from pt4al_backend.label_studio.registration import Registration
from pt4al_backend.ops.doctor.finding import Finding, attempt

ANSWER_SECONDS = (3.05, 5.0)
GUARDS = (
    "Start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false (or, instead of both, "
    "USE_DEFAULT_BANNED_SUBNETS=false), then remove the backend under Settings > Model and connect it again."
)

Json = dict[str, Any]


def registered(
    topic: str, settings: ServerSettings, registration: Registration, backends: list[Json], hooks: list[Json]
) -> Iterator[Finding]:
    if not backends:
        yield Finding(
            "fail",
            topic,
            "Label Studio has no backend connected.",
            "Connect it in Settings > Model. If Label Studio refuses with 'reserved network address': " + GUARDS,
        )
    for backend in backends:
        url = str(backend.get("url") or "").rstrip("/")
        user = settings.basic_auth_user
        if user and backend.get("basic_auth_user") != user:
            text = f"The backend {shown(url)} is connected without this backend's user name."
            yield Finding("warn", topic, text, "If it is this one: Settings > Model > Edit, basic authentication.")
            continue
        yield attempt(topic, lambda url=url, backend=backend: _reachable(topic, url, backend))  # type: ignore[misc]
        yield attempt(topic, lambda url=url: _webhook(topic, url, registration.header(), hooks))  # type: ignore[misc]


def _reachable(topic: str, url: str, backend: Json) -> Finding:
    state = str(backend.get("readable_state") or backend.get("state") or "unknown")
    if backend.get("state") in ("DI", "ER"):
        remedy = f"Start pt4al web, and give the URL under which Label Studio's machine reaches it. {_why_refused(url)}".strip()
        return Finding("fail", topic, f"Label Studio cannot use the backend at {shown(url)}: {state}.", remedy)
    try:
        answered = requests.get(f"{url}/health", timeout=ANSWER_SECONDS, allow_redirects=False).status_code == 200
    except requests.RequestException:
        answered = False
    if answered:
        return Finding("ok", topic, f"Label Studio says {state} of the backend at {shown(url)}, which answers from here as well")
    text = f"The backend at {shown(url)} does not answer from here; Label Studio says {state}, and only its view counts."
    return Finding("warn", topic, text, "None is needed if Label Studio is on another network than this machine.")


def _webhook(topic: str, url: str, header: str, hooks: list[Json]) -> Finding:
    found = [hook for hook in hooks if str(hook.get("url")) == f"{url}/webhook"]
    if not found:
        text = f"Label Studio has no webhook {shown(url)}/webhook, so answers are only noticed by polling."
        return Finding("fail", topic, text, _why_refused(url) or GUARDS)
    hook = found[0]
    off = [name for name in ("is_active", "send_payload", "send_for_all_actions") if hook.get(name) is False]
    if off:
        return Finding("fail", topic, f"The webhook has {', '.join(off)} off.", "Switch it on in Settings > Webhooks.")
    if header and (hook.get("headers") or {}).get("Authorization") != header:
        remedy = "A running worker sets it within PT4AL_FULL_SYNC_SECONDS, ten minutes by default."
        return Finding("fail", topic, "The webhook does not carry the basic authentication that this backend asks for.", remedy)
    return Finding("ok", topic, f"webhook {shown(url)}/webhook" + (", with basic authentication" if header else ""))


def _why_refused(url: str) -> str:
    """Why Label Studio may refuse a backend's address; its settings cannot be asked for, so from the address itself."""
    host = urlsplit(url).hostname or ""
    if "." not in host and ":" not in host and host != "localhost":
        return (
            f"Label Studio takes a host name without a dot ({host}) for malformed and makes no webhook: give the backend a name "
            "with one, such as pt4al.local, and connect that."
        )
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return ""
    private = sorted(address for address in addresses if not ipaddress.ip_address(address.partition("%")[0]).is_global)
    return f"{host} has the private address {private[0]}, which Label Studio refuses by default. {GUARDS}" if private else ""


def shown(url: str) -> str:
    """A URL without the user and password that it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
