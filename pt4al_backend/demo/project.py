"""The demo's project: images with known answers, in a Label Studio and on a backend of its own."""

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.text import Text

from pt4al_backend.aliases import Json
from pt4al_backend.config import ServerSettings, project_settings, server_settings
from pt4al_backend.config.catalog import AUTO_ENCODERS
from pt4al_backend.datasets.drawn_images import DrawnImages
from pt4al_backend.datasets.folder_images import SHOWN, FolderImages, Reader
from pt4al_backend.datasets.sorted_images import SortedImages
from pt4al_backend.datasets.tagged_images import TaggedImages
from pt4al_backend.demo import servers
from pt4al_backend.demo.annotator import FILES_PER_REQUEST, Annotator
from pt4al_backend.demo.backend_status import BackendStatus
from pt4al_backend.demo.folder import fresh
from pt4al_backend.demo.screen import Screen
from pt4al_backend.demo.servers import Server
from pt4al_backend.demo.simulated_annotators import SimulatedAnnotators
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.frames import choose
from pt4al_backend.learn.weights.search import first_there
from pt4al_backend.query.plan import OF_TRAINED_NETWORKS, leaves_features_open

TITLE = "PT4AL demo"
LEAD, SECOND = "ada@example.com", "ben@example.com"
#: Tasks of a query, where a network is trained for half a minute, and where a head on features takes a second.
QUERY, QUERY_ON_FEATURES, SMALLEST_QUERY = 40, 20, 10
ROUNDS, ROUNDS_ON_FEATURES = 3, 6

#: Pixels that the pretext learner reads on a CPU, over all its epochs: up to 40 s on two idle cores.
PRETEXT_PIXELS = 12_000_000
KINDS: dict[str, type[FolderImages]] = {each.task: each for each in (SortedImages, TaggedImages, DrawnImages)}
LARGEST_REQUEST = 200_000_000  # bytes; Label Studio takes 250 MB


@dataclass(frozen=True)
class DemoProject:
    """A project on a Label Studio and a backend of its own, and who works in it.

    Attributes:
        id: its number in Label Studio.
        images: its images, and their answers.
        settings: the backend's.
        annotators: by name, logged in.
        label_studio: the running Label Studio.
        backend: the running backend.
        files: each task's image file.
        rounds: how many suit the time that one takes.
        password: of the admin, `LEAD`.
    """

    id: int
    images: FolderImages
    settings: ServerSettings
    annotators: dict[str, Annotator]
    label_studio: Server
    backend: Server
    files: dict[int, Path]
    rounds: int
    password: str

    @property
    def status_page(self) -> str:
        """Address of its status page."""
        return f"{self.backend.url}/projects/{self.id}"

    def simulated_annotators(self, screen: Screen) -> SimulatedAnnotators:
        """Annotators who know the answers; ``screen`` shows what they do."""
        status = BackendStatus(self.backend.url, self.id)
        return SimulatedAnnotators(status, self.annotators, self.id, self.images, self.files, screen, self.check)

    def check(self) -> None:
        """Raises `ServerFailed` if a server has ended."""
        self.label_studio.check()
        self.backend.check()


def set_up(
    stack: ExitStack, task: str, folder: Path, label_studio: Path, screen: Screen, *, images: Path | None, masks: Path | None
) -> DemoProject:
    """Starts Label Studio and the backend, imports the images and connects the project; ``stack`` ends all of it.

    Args:
        stack: takes what has to be ended.
        task: the main task.
        folder: takes all that is written; it is emptied first.
        label_studio: Label Studio's command.
        screen: shows what is being done.
        images: a folder of images; None for some that need no download.
        masks: a folder with their masks, for segmentation.

    Raises:
        PT4ALError: something stands in the way, and what to change.
    """
    lock = stack.enter_context(fresh(folder))
    settings = _settings(folder / "backend")
    found = _read_images(KINDS[task], folder, images, masks, settings, screen)
    return _connect(stack, folder, lock, found, settings, label_studio, screen)


def _settings(data_dir: Path) -> ServerSettings:
    """The backend's, as far as the demo reads its files; what the environment sets for other installations is left out."""
    elsewhere = ("label_studio_url", "label_studio_api_key", "basic_auth_user", "basic_auth_pass", "database_url", "redis_url")
    return server_settings(data_dir=data_dir, **dict.fromkeys(elsewhere, ""))


def _read_images(
    kind: type[FolderImages], folder: Path, images: Path | None, masks: Path | None, settings: ServerSettings, screen: Screen
) -> FolderImages:
    if masks and not images:
        raise ConfigError("MASKS (--masks) is given without images.", "Name their folder as well: IMAGES (--images).")
    with screen.live(0):
        reader = Reader(settings.image_max_pixels, lambda done, total: screen.work("Reading images", done, total))
        found = kind.given(images.absolute(), masks and masks.absolute(), reader) if images else kind.made(folder, reader)
    parts = f"{len(found.pool):,} for the pool, {len(found.test):,} held out for the test, {len(found.classes)} classes"
    screen.say(f"Images: {parts}; {found.source}.")
    for path, reason in list(found.unreadable.items())[:SHOWN]:
        screen.say(Text(f"Left out: {path}: {reason}", "yellow"))
    if len(found.unreadable) > SHOWN:
        screen.say(Text(f"Left out: {len(found.unreadable) - SHOWN} more.", "yellow"))
    return found


def _connect(
    stack: ExitStack, folder: Path, lock: IO[bytes], found: FolderImages, settings: ServerSettings, command: Path, screen: Screen
) -> DemoProject:
    password = secrets.token_urlsafe(9)
    studio = _start(stack, lambda: servers.LabelStudio(command, folder / "label-studio", LEAD, password), lock, screen)
    ada, ben = Annotator(studio.url, LEAD, password), Annotator(studio.url, SECOND, secrets.token_urlsafe(12))
    ada.log_in()
    ben.sign_up()
    screen.say(f"Label Studio runs at {studio.url}; log in as {LEAD} with the password {password}")
    token = ada.create_personal_access_token()
    backend = _start(stack, lambda: servers.backend(folder / "backend", studio.url, token), lock, screen)
    project_id = ada.create_project(TITLE, found.label_config(), description="Made by `make demo`.")
    with screen.live(0):
        ids = _upload(ada, project_id, found, screen)
    params = _params(found, settings)
    ada.connect_backend(project_id, backend.url, extra_params=params)
    screen.say(f"{len(ids):,} images are imported, and the backend is connected. Its page: {backend.url}/projects/{project_id}")
    screen.say(f"Other than the defaults: {', '.join(f'{name} = {value}' for name, value in params.items()) or 'nothing'}.")
    files = dict(zip(ids, found.pool, strict=True))
    rounds = ROUNDS_ON_FEATURES if _is_on_features(found, settings) else ROUNDS
    return DemoProject(project_id, found, settings, {"Ada": ada, "Ben": ben}, studio, backend, files, rounds, password)


def _start(stack: ExitStack, make: Callable[[], Server], lock: IO[bytes], screen: Screen) -> Server:
    with screen.live(0):
        return stack.enter_context(servers.started(make, lock, lambda server: screen.work(f"{server.name} starts")))


def _upload(annotator: Annotator, project_id: int, found: FolderImages, screen: Screen) -> list[int]:
    ids: list[int] = []
    while len(ids) < len(found.pool):
        screen.work("Importing images", len(ids), len(found.pool))
        ids += annotator.upload_images(project_id, _request(found.pool[len(ids) :]))
    return ids


def _request(paths: Sequence[Path]) -> list[Path]:
    """As many of the first files as Label Studio takes in one request."""
    taken: list[Path] = []
    size = 0
    for path in paths[:FILES_PER_REQUEST]:
        size += path.stat().st_size
        if taken and size > LARGEST_REQUEST:
            break
        taken.append(path)
    return taken


def _params(found: FolderImages, settings: ServerSettings) -> Json:
    """Extra params that let the demo end in time; what the environment sets stays as it is."""
    options = project_settings()
    on_features = _is_on_features(found, settings)
    query = max(SMALLEST_QUERY, min(QUERY_ON_FEATURES if on_features else QUERY, len(found.pool) // options.rounds))
    params: Json = {"query_size": query, **found.params}
    if on_features:
        params = {name: value for name, value in params.items() if name not in OF_TRAINED_NETWORKS} | {"query_size": query}
        return {name: params[name] for name in _left_open(params)}
    (height, width), _ = choose(found.task, found.sizes, gpu=False, requested=params.get("image_size"))
    epochs = max(2, round(PRETEXT_PIXELS / (len(found.pool) * height * width)))
    if epochs < params.get("pretext_epochs", options.pretext_epochs) and not settings.has_gpu:
        params["pretext_epochs"] = epochs
    return {name: params[name] for name in _left_open(params)}


def _left_open(params: Json) -> list[str]:
    """Names of the settings that the environment says nothing of."""
    return [name for name in params if f"PT4AL_{name.upper()}" not in os.environ]


def _is_on_features(found: FolderImages, settings: ServerSettings) -> bool:
    """Whether the backend is going to train heads on a pretrained encoder that is on this machine."""
    is_open = leaves_features_open(project_settings(), found.task)
    return is_open and bool(first_there(AUTO_ENCODERS[settings.has_gpu], settings.weights_dir))
