"""Checks of this machine: the data folder, the state, worker and runner, the device, the weights that trainings start from."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress

import requests

from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings
from pt4al_backend.config.catalog import AUTO_ENCODERS, TaskName
from pt4al_backend.config.exposure import REMEDY, exposed
from pt4al_backend.config.refusal import IN_ENVIRONMENT
from pt4al_backend.engine.labeling_config import in_force
from pt4al_backend.engine.work_queue import QUEUE_ERRORS, WorkQueue
from pt4al_backend.errors import ConfigError, PT4ALError, StoreAway
from pt4al_backend.jobs.run.named import runner_of
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.learn.weights.search import first_there
from pt4al_backend.ops.doctor.context import ServerContext
from pt4al_backend.ops.doctor.finding import ANSWER_SECONDS, CheckFailed, CheckWarns
from pt4al_backend.query import plan
from pt4al_backend.state.store import Store

RESNET18_WIDTH = 64  # channels of the first stage of torchvision's
WORKER_SECONDS = 5.0  # that a worker gets to take a request
LITTLE_BYTES, LEAST_BYTES = 5_000_000_000, 500_000_000  # free disk: worth a warning, too little

START_A_WORKER = "Start one: pt4al worker, or pt4al start."


def project_defaults(server: ServerContext) -> str:
    """What the environment sets for all projects is allowed, and the folder of weights that it names is there."""
    project_settings(where=IN_ENVIRONMENT)
    folder = server.settings.weights_dir
    if folder is not None and not folder.is_dir():
        remedy = "Make it with `pt4al weights fetch ENCODER --to DIR`, or set PT4AL_WEIGHTS_DIR to another, or unset it."
        raise CheckWarns(f"PT4AL_WEIGHTS_DIR names {folder}, and there is no such folder.", remedy)
    return "every value in the environment is allowed"


def data_folder(server: ServerContext) -> str:
    """It can be written to, and has space."""
    folder = server.settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "Set PT4AL_DATA_DIR to a folder that this user may write to."
        raise CheckFailed(f"{folder} cannot be written to ({error.strerror}).", remedy) from error
    text = f"{folder}, {free / 1e9:.1f} GB free"
    remedy = "Free space, or set PT4AL_DATA_DIR to a folder on a larger disk."
    if free < LEAST_BYTES:
        raise CheckFailed(text, remedy)
    if free < LITTLE_BYTES:
        raise CheckWarns(text, remedy)
    return text


def artefact_store(server: ServerContext) -> str:
    """The store that hosts share takes an object, gives it back and deletes it."""
    try:
        store = SharedJobs.of(server.settings)
        if store is None:
            return "none is set: the data folder is all there is"
        store.store.probe()
    except (ConfigError, StoreAway) as error:
        raise CheckFailed(error.message, error.remedy) from error
    return f"{store.store.place} can be written and read"


def state(server: ServerContext) -> str:
    """It can be opened, if there is one yet."""
    where = "the database that PT4AL_DATABASE_URL names" if server.settings.database_url else "SQLite in the data folder"
    count = len(server.store.project_ids()) if server.store else 0
    return f"{where}, {count} connected project{'' if count == 1 else 's'}"


def worker(server: ServerContext) -> str:
    """One takes requests, which is seen by sending it one."""
    settings, store = server.settings, server.store
    where = "Redis" if settings.redis_url else "SQLite in the data folder"
    try:
        queue = WorkQueue(settings)
        waiting = queue.waiting()
        ids = store.project_ids() if store else []
        if store is None or not ids:
            if waiting:
                raise CheckFailed(f"{waiting} requests wait in {where}.", START_A_WORKER)
            return f"the queue in {where} answers; without a project there is no work for a worker"
        before = _handled(store, ids[0])
        queue.request(ids[0])
    except QUEUE_ERRORS as error:
        remedy = "Check PT4AL_REDIS_URL, and that Redis runs." if settings.redis_url else "Check the data folder."
        raise CheckFailed(f"The queue does not answer ({type(error).__name__}).", remedy) from None
    deadline = time.monotonic() + WORKER_SECONDS
    while time.monotonic() < deadline:
        if _handled(store, ids[0]) != before:
            return f"takes requests from {where}"
        time.sleep(0.05)
    remedy = f"{START_A_WORKER} If one runs, it is busy with as many projects as PT4AL_WORKERS allows."
    raise CheckFailed(f"Nobody took a request within {WORKER_SECONDS:g} s; {queue.waiting()} wait.", remedy)


def _handled(store: Store, project_id: int) -> int:
    """How many requests of a project a worker has taken."""
    project = store.project(project_id)
    return project.requests if project else 0


def access(server: ServerContext) -> str:
    """Who reaches the web process either needs a password, or is this machine."""
    settings = server.settings
    if not exposed(settings):
        if "*" in (name.strip() for name in settings.allowed_hosts.split(",")):
            raise CheckWarns(
                "PT4AL_ALLOWED_HOSTS allows any name (*), so a web page can make a name of its own resolve to the backend and "
                "read from it.",
                "Set it to the names under which you open the status page.",
            )
        return "basic authentication is on" if settings.basic_auth_user else f"only this machine reaches {settings.host}"
    text = f"Other machines reach the backend (PT4AL_HOST={settings.host}), and no password is set."
    if settings.insecure:
        raise CheckWarns(f"{text} PT4AL_INSECURE allows it.", REMEDY)
    raise CheckFailed(text, REMEDY)


def runner(server: ServerContext) -> str:
    """What brings jobs to their results is installed, and answers."""
    return runner_of(server.settings).check(server.settings.device)


def device(server: ServerContext) -> str:
    """PyTorch can use the GPU, if the machine has one."""
    import torch

    from pt4al_backend.learn import devices

    chosen = devices.choose(server.settings.device)
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{torch.get_num_threads()} threads"
    text = f"{chosen.type}, {name}, PyTorch {torch.__version__}"
    if chosen.type == "cpu" and server.settings.has_gpu:
        remedy = "Repair its driver or install a PyTorch built for it; or set PT4AL_DEVICE=cpu, which chooses smaller images."
        raise CheckWarns(f"{text}; this machine has a GPU that PyTorch cannot use.", remedy)
    return text


def weights(server: ServerContext) -> str:
    """The weights that the projects want of torchvision are here or can be downloaded."""
    from pt4al_backend.learn import devices
    from pt4al_backend.learn.weights import imagenet

    if server.settings.pretrained == "off":
        return "switched off (PT4AL_PRETRAINED=off)"
    on_gpu = devices.choose(server.settings.device).type == "cuda"
    wanted = sorted({_torchvision_network(*each, server.settings, on_gpu=on_gpu) for each in _settings_of(server)} - {""})
    if not wanted:
        return "not used: no project trains a network of torchvision's from them"
    missing = [name for name in wanted if not imagenet.is_cached(name)]
    folder = imagenet.path(wanted[0]).parent
    if not missing:
        return f"{' and '.join(wanted)} in {folder}"
    try:
        if all(requests.head(imagenet.URLS[each], timeout=ANSWER_SECONDS, allow_redirects=True).ok for each in missing):
            return f"{' and '.join(missing)}: downloaded when first needed"
    except requests.RequestException:
        pass
    addresses = " and ".join(imagenet.URLS[each] for each in missing)
    remedy = f"Put {addresses} into {folder}, or set PT4AL_PRETRAINED=off to do without them."
    raise CheckWarns(f"{' and '.join(missing)}: not here, and cannot be downloaded, so trainings start without them.", remedy)


def _settings_of(server: ServerContext) -> Iterator[tuple[ProjectSettings, str]]:
    """The settings and the main task of each project that can be read; its own checks report one that cannot."""
    for project in filter(None, server.projects.values()):
        with suppress(PT4ALError):
            task = in_force(project).task
            yield plan.for_task(project_settings(project.params), task, project.encoder), task


def _torchvision_network(options: ProjectSettings, task: str, settings: ServerSettings, *, on_gpu: bool) -> str:
    """The network of torchvision's that a project trains from ImageNet's weights, "" for none."""
    if options.pretrained_encoder or options.init == "fresh":
        return ""
    if plan.leaves_encoder_open(options, task) and first_there(AUTO_ENCODERS[settings.has_gpu], settings.weights_dir):
        return ""
    if task == TaskName.SEGMENTATION:
        return options.encoder or ("resnet101" if on_gpu else "resnet18")
    return "resnet18" if options.resnet_width(on_gpu=on_gpu) == RESNET18_WIDTH else ""
