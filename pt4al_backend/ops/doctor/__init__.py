"""``pt4al doctor``: looks at everything that has to be right for the loop to run, and says what to change.

Every check has a time limit and none stops the others. Nothing is changed: the one request that a worker is sent, to see
whether there is one, only costs it a look.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from pt4al_backend.config import ServerSettings, project_settings
from pt4al_backend.engine.access import client_for, fetcher_for
from pt4al_backend.engine.queue import Queue
from pt4al_backend.errors import ConfigError, ImageUnreadable, PT4ALError
from pt4al_backend.images.decode import decode
from pt4al_backend.label_studio import label_config
from pt4al_backend.label_studio.annotations import image_of
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.http import checked_url
from pt4al_backend.label_studio.registration import SAMPLING, Registration
from pt4al_backend.ops.doctor.finding import Finding, attempt
from pt4al_backend.ops.doctor.reach import ANSWER_SECONDS, registered, shown
from pt4al_backend.query import plan
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

WORKER_SECONDS = 5.0  # that a worker gets to take a request
LITTLE_BYTES, LEAST_BYTES = 5_000_000_000, 500_000_000  # free disk: worth a warning, too little
IMAGES = 3  # tasks whose image is tried; one that can be read is enough

Json = dict[str, Any]


def examine(settings: ServerSettings, project_id: int | None = None) -> Iterator[Finding]:
    """Makes all checks, one finding each: of the server, then of every connected project or of the one given."""
    yield attempt("Data folder", lambda: _data_folder(settings))
    store = attempt("State", lambda: _open(settings))
    if isinstance(store, Finding):
        yield store
    else:
        where = "the database that PT4AL_DATABASE_URL names" if settings.database_url else "SQLite in the data folder"
        count = len(store.project_ids()) if store else 0
        yield Finding("ok", "State", f"{where}, {count} connected project{'' if count == 1 else 's'}")
        yield attempt("Worker", lambda: _worker(settings, store))
    yield attempt("Device", lambda: _device(settings))
    asked = [project_id] if project_id is not None else store.project_ids() if isinstance(store, Store) else []
    projects = {number: store.project(number) if isinstance(store, Store) else None for number in asked}
    yield attempt("ImageNet weights", lambda: _weights(settings, [project for project in projects.values() if project]))
    label_studio = attempt("Label Studio", lambda: _label_studio(settings))
    yield label_studio
    if label_studio.level == "ok":
        yield attempt("Token", lambda: _token(settings))
    for number, project in projects.items():
        if project is None:
            yield Finding("fail", f"Project {number}", "It never connected this backend.", "Connect it in Settings > Model.")
            continue
        yield from _project(project)
        if label_studio.level != "fail":  # else it was said what to do
            yield from _in_label_studio(settings, project)


# the server


def _data_folder(settings: ServerSettings) -> Finding:
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


def _open(settings: ServerSettings) -> Store | None:
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


def _worker(settings: ServerSettings, store: Store | None) -> Finding:
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


def _device(settings: ServerSettings) -> Finding:
    import torch

    from pt4al_backend.learn import devices

    device = devices.choose(settings.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    text = f"{device.type}, {name}, PyTorch {torch.__version__}"
    if device.type == "cpu" and settings.has_gpu:
        remedy = "Mend its driver or install a PyTorch built for it; or set PT4AL_DEVICE=cpu, which chooses smaller images."
        return Finding("warn", "Device", f"{text}; this machine has a GPU that PyTorch cannot use.", remedy)
    return Finding("ok", "Device", text)


def _weights(settings: ServerSettings, projects: Sequence[Project]) -> Finding:
    """Whether the weights can be had that the projects want; of segmentations the environment's if there is none."""
    from pt4al_backend.learn import devices
    from pt4al_backend.learn.networks import imagenet

    topic = "ImageNet weights"
    if settings.pretrained == "off":
        return Finding("ok", topic, "switched off (PT4AL_PRETRAINED=off)")
    on_gpu = devices.choose(settings.device).type == "cuda"
    wanted = [encoder for project in projects for encoder in _encoders(project)] or [project_settings().encoder]
    encoders = sorted({encoder or ("resnet101" if on_gpu else "resnet18") for encoder in wanted})  # as segmentation chooses
    use = (
        "classification takes resnet18's for images above 64 pixels at width 64, the GPU's default; "
        f"segmentation takes {' and '.join(encoders)}'s at any size"
    )
    missing = [name for name in dict.fromkeys(("resnet18", *encoders)) if not imagenet.at_hand(name)]
    folder = imagenet.path("resnet18").parent
    if not missing:
        return Finding("ok", topic, f"in {folder}; {use}")
    try:
        if all(requests.head(imagenet.URLS[each], timeout=ANSWER_SECONDS, allow_redirects=True).ok for each in missing):
            return Finding("ok", topic, f"{' and '.join(missing)} not here yet, downloaded when first needed; {use}")
    except requests.RequestException:
        pass
    addresses = " and ".join(imagenet.URLS[each] for each in missing)
    remedy = f"Put {addresses} into {folder}, or set PT4AL_PRETRAINED=off."
    return Finding("warn", topic, f"{' and '.join(missing)} neither here nor to be had; {use}.", remedy)


def _encoders(project: Project) -> list[str | None]:
    """The encoder that a project asks for, None where that is left open; nothing if it is no segmentation, or not in order."""
    try:
        is_segmentation = label_config.parse(project.label_config).task == "segmentation"
        return [project_settings(project.params).encoder] if is_segmentation else []
    except PT4ALError:
        return []  # said of the project


def _label_studio(settings: ServerSettings) -> Finding:
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
        return Finding("fail", "Label Studio", f"{shown(url)} does not answer ({type(error).__name__}).", f"Start it. {remedy}")
    if not release:
        return Finding("fail", "Label Studio", f"{shown(url)} does not answer as Label Studio does.", remedy)
    return Finding("ok", "Label Studio", f"{release} at {shown(url)}")


def _token(settings: ServerSettings) -> Finding:
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
    yield attempt(topic, lambda: _params(topic, project))


def _in_label_studio(settings: ServerSettings, project: Project) -> Iterator[Finding]:
    topic = f"Project {project.id}"
    client = attempt(topic, lambda: client_for(settings, project))
    if isinstance(client, Finding):
        yield client
        return
    remote = attempt(topic, lambda: client.project(project.id))
    if isinstance(remote, Finding):
        yield remote
        return
    yield attempt(topic, lambda: _image(topic, settings, client, project, remote))
    yield _served(topic, project, remote)
    registration = Registration(settings, client, project.id)
    backends = attempt(topic, registration.backends)
    hooks = attempt(topic, lambda: client.webhooks(project.id))
    if isinstance(backends, Finding):
        yield backends
    elif isinstance(hooks, Finding):
        yield hooks
    else:
        yield from registered(topic, settings, registration, backends, hooks)


def _params(topic: str, project: Project) -> Finding:
    options = project_settings(project.params)
    if project.label_config:
        plan.require_fit(options, label_config.parse(project.label_config).task)
    given = ", ".join(sorted(project.params)) or "none"
    return Finding("ok", topic, f"{project.title!r}, {project.phase}; extra params: {given}")


def _image(topic: str, settings: ServerSettings, client: LabelStudio, project: Project, remote: Json) -> Finding:
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
