"""Which backend answers at an address: /health says so. No credentials are sent, and no redirect is followed."""

import json
import time
from urllib.parse import urlsplit

from pt4al_backend.images.http import PORTS, AddressRefused, Connections, Origin, TooLong

ANSWER_SECONDS = 5.0
LONGEST_ANSWER = 4096  # bytes


def instance_at(url: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """The instance id that the backend at ``url`` gives; "" if it gives none, None if nothing answers there.

    Args:
        url: as Label Studio has it. Anybody in the project may have written it, so it is not trusted: user name and
            password in it are left out, and the answer is limited in length and time.
        seconds: time limit.
    """
    connections = Connections(LONGEST_ANSWER)
    try:
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            return None
        host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
        origin = Origin(parts.scheme, host, parts.port or PORTS[parts.scheme], private=True)
        target = f"{parts.path.rstrip('/')}/health"
        reply = connections.get(origin, target, {"Accept-Encoding": "identity"}, time.monotonic() + seconds)
    except TooLong:
        return ""
    except (OSError, ValueError, AddressRefused):
        return None
    finally:
        connections.close()
    return _instance(reply.body) if reply.status == 200 else None


def _instance(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(answer.get("instance") or "") if isinstance(answer, dict) else ""
