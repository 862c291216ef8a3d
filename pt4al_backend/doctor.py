"""``pt4al doctor``: looks at everything that has to be right for the loop to run, and says what to change.

Every check has a time limit and none stops the others. Nothing is changed: the one request that a worker is sent, to see
whether there is one, only costs it a look.
"""

import ipaddress
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from pt4al_backend.errors import ConfigError, ImageUnreadable, PT4ALError
from pt4al_backend.images import decode
from pt4al_backend.intake import has_gpu
from pt4al_backend.jobs import Queue
from pt4al_backend.label_studio import label_config
from pt4al_backend.label_studio.access import client_for, fetcher_for
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.connection import checked_url
from pt4al_backend.label_studio.labels import image_of
from pt4al_backend.label_studio.queue import SAMPLING
from pt4al_backend.label_studio.registration import Registration
from pt4al_backend.schema import Project
from pt4al_backend.settings import Settings, project_settings
from pt4al_backend.store import Store

LIMIT_SECONDS = 30.0  # of one check
WORKER_SECONDS = 5.0  # that a worker gets to take a request
ANSWER_SECONDS = (3.05, 5.0)
LITTLE_BYTES, LEAST_BYTES = 5_000_000_000, 500_000_000  # free disk: worth a warning, too little
IMAGES = 3  # tasks whose image is tried; one that can be read is enough
GUARDS = (
    "Start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false (or, instead of both, "
    "USE_DEFAULT_BANNED_SUBNETS=false), then remove the backend under Settings > Model and connect it again."
)

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to change unless all is well."""

    level: Literal["ok", "warn", "fail"]
    topic: str
    text: str
    remedy: str = ""


def examine(settings: Settings, project_id: int | None = None) -> Iterator[Finding]:
    """Makes all checks, one finding each: of the server, then of every connected project or of the one given."""
    yield _attempt("Data folder", lambda: _data_folder(settings))
    store = _attempt("State", lambda: _open(settings))
    if isinstance(store, Finding):
        yield store
    else:
        where = "the database that PT4AL_DATABASE_URL names" if settings.database_url else "SQLite in the data folder"
        count = len(store.project_ids()) if store else 0
        yield Finding("ok", "State", f"{where}, {count} connected project{'' if count == 1 else 's'}")
        yield _attempt("Worker", lambda: _worker(settings, store))
    yield _attempt("Device", lambda: _device(settings))
    yield _attempt("ImageNet weights", lambda: _weights(settings))
    label_studio = _attempt("Label Studio", lambda: _label_studio(settings))
    yield label_studio
    if label_studio.level == "ok":
        yield _attempt("Token", lambda: _token(settings))
    known = store.project_ids() if isinstance(store, Store) else []
    for number in [project_id] if project_id is not None else known:
        project = store.project(number) if isinstance(store, Store) else None
        if project is None:
            yield Finding("fail", f"Project {number}", "It never connected this backend.", "Connect it in Settings > Model.")
            continue
        yield from _project(project)
        if label_studio.level != "fail":  # else it was said what to do
            yield from _in_label_studio(settings, project)


def _attempt(topic: str, work: Callable[[], T]) -> T | Finding:
    """Does some work within the time limit; what goes wrong becomes a finding.

    Messages of other errors than our own are left out: a library may quote a URL with its password.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    # a thread that is left behind when the time is over must not keep the process from ending
    threading.Thread(target=run, daemon=True).start()
    try:
        return done.result(LIMIT_SECONDS)
    except PT4ALError as error:
        return Finding("fail", topic, error.message, error.remedy)
    except TimeoutError:
        return Finding(
            "fail", topic, f"No answer within {LIMIT_SECONDS:g} s.", "Check that it runs and can be reached from here."
        )
    except Exception as error:
        return Finding("fail", topic, f"The check failed ({type(error).__name__}).", "Please report this.")


# the server


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "Let PT4AL_DATA_DIR name a folder that this user may write to."
        return Finding("fail", "Data folder", f"{folder} cannot be written ({error.strerror}).", remedy)
    text = f"{folder}, {free / 1e9:.1f} GB free"
    remedy = "Free space, or let PT4AL_DATA_DIR name a larger disk."
    if free < LITTLE_BYTES:
        return Finding("fail" if free < LEAST_BYTES else "warn", "Data folder", text, remedy)
    return Finding("ok", "Data folder", text)


def _open(settings: Settings) -> Store | None:
    """The state, or None if no process has made it yet."""
    if not settings.database_url and not (settings.data_dir / "state.sqlite3").exists():
        return None
    try:
        return Store.open(settings)
    except ModuleNotFoundError as error:
        remedy = f"Install the database's driver, {error.name}: pip install 'pt4al-backend[postgresql]'."
        raise ConfigError("PT4AL_DATABASE_URL names a database whose driver is not installed.", remedy) from None
    except Exception as error:
        name = "PT4AL_DATABASE_URL" if settings.database_url else f"{settings.data_dir / 'state.sqlite3'}"
        raise ConfigError(f"The state cannot be opened ({type(error).__name__}).", f"Check {name}.") from None


def _worker(settings: Settings, store: Store | None) -> Finding:
    """Whether a worker takes requests: seen by sending it one."""
    try:
        queue = Queue(settings)
        waiting = queue.waiting()
        where = "Redis" if settings.redis_url else "SQLite in the data folder"
        ids = store.project_ids() if store else []
        if store is None or not ids:
            if waiting:
                return Finding(
                    "fail", "Worker", f"{waiting} requests wait in {where}.", "Start one: pt4al worker, or pt4al start."
                )
            return Finding(
                "ok", "Worker", f"the queue in {where} answers; without a project there is nothing to ask a worker for"
            )
        before = _asked(store, ids[0])
        queue.ask(ids[0])
    except Exception as error:
        remedy = "Check PT4AL_REDIS_URL, and that Redis runs." if settings.redis_url else "Check the data folder."
        return Finding("fail", "Worker", f"The queue does not answer ({type(error).__name__}).", remedy)
    deadline = time.monotonic() + WORKER_SECONDS
    while time.monotonic() < deadline:
        if _asked(store, ids[0]) != before:
            return Finding("ok", "Worker", f"takes requests from {where}")
        time.sleep(0.05)
    remedy = "Start one: pt4al worker, or pt4al start. If one runs, it is busy with as many projects as PT4AL_WORKERS allows."
    return Finding("fail", "Worker", f"Nobody took a request within {WORKER_SECONDS:g} s; {queue.waiting()} wait.", remedy)


def _asked(store: Store, project_id: int) -> int:
    project = store.project(project_id)
    return project.asked if project else 0


def _device(settings: Settings) -> Finding:
    import torch

    from pt4al_backend import devices

    device = devices.choose(settings.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    text = f"{device.type}, {name}, PyTorch {torch.__version__}"
    if device.type == "cpu" and has_gpu(settings):
        remedy = "Mend its driver or install a PyTorch built for it; or set PT4AL_DEVICE=cpu, which chooses smaller images."
        return Finding("warn", "Device", f"{text}; this machine has a GPU that PyTorch cannot use.", remedy)
    return Finding("ok", "Device", text)


def _weights(settings: Settings) -> Finding:
    from pt4al_backend import devices, pretrained

    topic = "ImageNet weights"
    if settings.pretrained == "off":
        return Finding("ok", topic, "switched off (PT4AL_PRETRAINED=off)")
    on_gpu = devices.choose(settings.device).type == "cuda"
    encoder = project_settings().encoder or ("resnet101" if on_gpu else "resnet18")  # as the segmentation task chooses
    use = (
        "classification takes resnet18's for images above 64 pixels at width 64, the GPU's default; "
        f"segmentation takes {encoder}'s at any size"
    )
    missing = [name for name in dict.fromkeys(("resnet18", encoder)) if not pretrained.at_hand(name)]
    folder = pretrained.path(encoder).parent
    if not missing:
        return Finding("ok", topic, f"in {folder}; {use}")
    try:
        if all(requests.head(pretrained.URLS[each], timeout=ANSWER_SECONDS, allow_redirects=True).ok for each in missing):
            return Finding("ok", topic, f"{' and '.join(missing)} not here yet, downloaded when first needed; {use}")
    except requests.RequestException:
        pass
    addresses = " and ".join(pretrained.URLS[each] for each in missing)
    remedy = f"Put {addresses} into {folder}, or set PT4AL_PRETRAINED=off."
    return Finding("warn", topic, f"{' and '.join(missing)} neither here nor to be had; {use}.", remedy)


def _label_studio(settings: Settings) -> Finding:
    url = settings.label_studio_url
    remedy = "Set LABEL_STUDIO_URL to Label Studio's address as seen from here, such as http://label-studio.example:8080."
    if not url:
        return Finding(
            "warn", "Label Studio", "No address is set; the one that Label Studio gives on connecting is used.", remedy
        )
    url = checked_url(url)
    try:
        response = requests.get(f"{url}/api/version", timeout=ANSWER_SECONDS, allow_redirects=False)
        release = response.json().get("release") if response.ok else None
    except requests.exceptions.JSONDecodeError:
        release = None
    except requests.RequestException as error:
        return Finding("fail", "Label Studio", f"{_shown(url)} does not answer ({type(error).__name__}).", f"Start it. {remedy}")
    if not release:
        return Finding("fail", "Label Studio", f"{_shown(url)} does not answer as Label Studio does.", remedy)
    return Finding("ok", "Label Studio", f"{release} at {_shown(url)}")


def _token(settings: Settings) -> Finding:
    if not settings.label_studio_api_key:
        text = "None is set; the one that Label Studio gives on connecting works only where legacy tokens are on."
        remedy = "Set LABEL_STUDIO_API_KEY to a personal access token of an admin (Account & Settings > Personal Access Token)."
        return Finding("warn", "Token", text, remedy)
    # without retries: whether Label Studio answers at all is the check before this one
    client = LabelStudio(
        settings.label_studio_url, settings.label_studio_api_key, timeout=ANSWER_SECONDS, adapter=HTTPAdapter(max_retries=0)
    )
    kind = {"personal": "personal access token", "legacy": "legacy token"}[client.token_kind]
    return Finding("ok", "Token", f"{kind} of {client.whoami().get('email')}, which Label Studio takes")


# a project


def _project(project: Project) -> Iterator[Finding]:
    topic = f"Project {project.id}"
    if project.error:
        yield Finding("fail", topic, f"The last error: {project.error}", project.remedy)
    yield _attempt(topic, lambda: _params(topic, project))


def _in_label_studio(settings: Settings, project: Project) -> Iterator[Finding]:
    topic = f"Project {project.id}"
    client = _attempt(topic, lambda: client_for(settings, project))
    if isinstance(client, Finding):
        yield client
        return
    remote = _attempt(topic, lambda: client.project(project.id))
    if isinstance(remote, Finding):
        yield remote
        return
    yield _attempt(topic, lambda: _image(topic, settings, client, project, remote))
    yield _served(topic, project, remote)
    registration = Registration(settings, client, project.id)
    backends = _attempt(topic, registration.backends)
    hooks = _attempt(topic, lambda: client.webhooks(project.id))
    if isinstance(backends, Finding):
        yield backends
    elif isinstance(hooks, Finding):
        yield hooks
    else:
        yield from _registered(topic, settings, registration, backends, hooks)


def _params(topic: str, project: Project) -> Finding:
    project_settings(project.params)
    given = ", ".join(sorted(project.params)) or "none"
    return Finding("ok", topic, f"{project.title!r}, {project.phase}; extra params: {given}")


def _image(topic: str, settings: Settings, client: LabelStudio, project: Project, remote: Json) -> Finding:
    config = label_config.parse(str(remote.get("label_config") or ""))
    tasks = next(client.task_pages(project.id, page_size=IMAGES), [])
    if not tasks:
        return Finding("warn", topic, "There is no task yet.", "Import images.")
    problem = ""
    with fetcher_for(settings, project) as fetcher:
        for task in tasks[:IMAGES]:
            try:
                image = decode(fetcher.fetch(image_of(task.get("data") or {}, config), task["id"]), settings.image_max_pixels)
            except ImageUnreadable as error:
                problem = problem or f"Task {task['id']}: {error}"
                continue
            text = f"the image of task {task['id']} was fetched and decoded, {image.width} x {image.height}"
            return Finding("ok", topic, text)
    return Finding("fail", topic, "No image of the first tasks can be used.", problem)


def _served(topic: str, project: Project, remote: Json) -> Finding:
    wanted, version, sampling = project.served_version, remote.get("model_version"), remote.get("sampling")
    if not wanted:
        return Finding("ok", topic, f"nothing is published yet; task sampling is {sampling!r}")
    if sampling != SAMPLING:
        remedy = f"The next round sets it to {SAMPLING!r}; or choose that in Settings > General > Task Sampling."
        return Finding("fail", topic, f"Task sampling is {sampling!r}, so the queue's order is not used.", remedy)
    if version != wanted:
        remedy = f"Choose {wanted!r} in Settings > Predictions, or Settings > Model."
        return Finding("fail", topic, f"The project serves predictions of {version!r}, not PT4AL's queue {wanted!r}.", remedy)
    return Finding("ok", topic, f"task sampling is {sampling!r}, model version {wanted!r} is served")


def _registered(
    topic: str, settings: Settings, registration: Registration, backends: list[Json], hooks: list[Json]
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
            text = f"The backend {_shown(url)} is connected without this backend's user name."
            yield Finding("warn", topic, text, "If it is this one: Settings > Model > Edit, basic authentication.")
            continue
        yield _attempt(topic, lambda url=url, backend=backend: _reachable(topic, url, backend))  # type: ignore[misc]
        yield _attempt(topic, lambda url=url: _webhook(topic, url, registration.header(), hooks))  # type: ignore[misc]


def _reachable(topic: str, url: str, backend: Json) -> Finding:
    state = str(backend.get("readable_state") or backend.get("state") or "unknown")
    if backend.get("state") in ("DI", "ER"):
        remedy = f"Start pt4al web, and give the URL under which Label Studio's machine reaches it. {_why_refused(url)}".strip()
        return Finding("fail", topic, f"Label Studio cannot use the backend at {_shown(url)}: {state}.", remedy)
    try:
        answered = requests.get(f"{url}/health", timeout=ANSWER_SECONDS, allow_redirects=False).status_code == 200
    except requests.RequestException:
        answered = False
    if answered:
        return Finding("ok", topic, f"Label Studio says {state} of the backend at {_shown(url)}, which answers from here as well")
    text = f"The backend at {_shown(url)} does not answer from here; Label Studio says {state}, and only its view counts."
    return Finding("warn", topic, text, "None is needed if Label Studio is on another network than this machine.")


def _webhook(topic: str, url: str, header: str, hooks: list[Json]) -> Finding:
    found = [hook for hook in hooks if str(hook.get("url")) == f"{url}/webhook"]
    if not found:
        text = f"Label Studio has no webhook {_shown(url)}/webhook, so answers are only noticed by polling."
        return Finding("fail", topic, text, _why_refused(url) or GUARDS)
    hook = found[0]
    off = [name for name in ("is_active", "send_payload", "send_for_all_actions") if hook.get(name) is False]
    if off:
        return Finding("fail", topic, f"The webhook has {', '.join(off)} off.", "Switch it on in Settings > Webhooks.")
    if header and (hook.get("headers") or {}).get("Authorization") != header:
        remedy = "A running worker sets it within PT4AL_FULL_SYNC_SECONDS, ten minutes by default."
        return Finding("fail", topic, "The webhook does not carry the basic authentication that this backend asks for.", remedy)
    return Finding("ok", topic, f"webhook {_shown(url)}/webhook" + (", with basic authentication" if header else ""))


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


def _shown(url: str) -> str:
    """A URL without the user and password that it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
