"""Checks of a project's ML backends: Label Studio and the backend reach each other, and the webhook is there."""

import ipaddress
import socket
from urllib.parse import urlsplit

from pt4al_backend.ops.doctor.context import ConnectionContext, ProjectContext
from pt4al_backend.ops.doctor.finding import CheckFailed, CheckWarns

GUARDS = (
    "Start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false (or, instead of both, "
    "USE_DEFAULT_BANNED_SUBNETS=false), then remove the backend under Settings > Model and connect it again."
)


def connected(context: ProjectContext) -> str:
    """The project lists an ML backend."""
    if not context.backends:
        remedy = f"Connect it in Settings > Model. If Label Studio refuses with 'reserved network address': {GUARDS}"
        raise CheckFailed("Label Studio has no backend connected.", remedy)
    return ""


def ours(connection: ConnectionContext) -> str:
    """It is this backend, or cannot be reached from here; what another one needs is not known here."""
    if connection.instance not in (None, connection.of.store.instance().id):
        raise CheckWarns(f"The backend at {shown(connection.url)} is another one: /health there gives another instance.")
    return ""


def login(connection: ConnectionContext) -> str:
    """It is connected with the user name that this backend requires."""
    user = connection.of.settings.basic_auth_user
    if user and connection.backend.get("basic_auth_user") != user:
        text = f"The backend {shown(connection.url)} is connected without this backend's user name."
        raise CheckFailed(text, "Enter it in Settings > Model > Edit, basic authentication.")
    return ""


def reachable(connection: ConnectionContext) -> str:
    """Label Studio can use it, which counts, and it answers from here."""
    backend, url = connection.backend, connection.url
    state = str(backend.get("readable_state") or backend.get("state") or "unknown")
    if backend.get("state") in ("DI", "ER"):
        remedy = f"Start pt4al web, and give the URL under which Label Studio's machine reaches it. {_why_refused(url)}".strip()
        raise CheckFailed(f"Label Studio cannot use the backend at {shown(url)}: {state}.", remedy)
    if connection.instance is not None:
        return f"Label Studio shows {state} for the backend at {shown(url)}, which answers from here as well"
    text = f"The backend at {shown(url)} does not answer from here; Label Studio shows {state}, and only its view counts."
    raise CheckWarns(text, "Nothing to change if Label Studio is on another network than this machine.")


def webhook(connection: ConnectionContext) -> str:
    """Label Studio has an active webhook for it, with the secret that this backend requires."""
    url = connection.url
    found = [hook for hook in connection.of.hooks if str(hook.get("url")) == f"{url}/webhook"]
    if not found:
        text = f"Label Studio has no webhook {shown(url)}/webhook, so answers are only noticed by polling."
        raise CheckFailed(text, _why_refused(url) or GUARDS)
    hook = found[0]
    off = [name for name in ("is_active", "send_payload", "send_for_all_actions") if hook.get(name) is False]
    if off:
        raise CheckFailed(f"The webhook has {', '.join(off)} off.", "Switch it on in Settings > Webhooks.")
    if connection.of.settings.basic_auth_user and not connection.of.registration.has_secret(hook):
        remedy = (
            "A running worker sets it within PT4AL_FULL_SYNC_SECONDS, ten minutes by default, if it can reach the backend "
            f"at {shown(url)}."
        )
        raise CheckFailed("The webhook does not carry the secret that this backend requires.", remedy)
    return f"webhook {shown(url)}/webhook"


def _why_refused(url: str) -> str:
    """Why Label Studio may refuse a backend's address; its settings cannot be read, so from the address itself."""
    host = urlsplit(url).hostname or ""
    if "." not in host and ":" not in host and host != "localhost":
        return (
            f"Label Studio refuses a host name without a dot ({host}) as malformed, and makes no webhook. Give the backend a "
            "name with a dot, such as pt4al.local, and connect that."
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
