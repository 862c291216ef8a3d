"""Frames and features that a host shares, and what another one gets of them."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.sharing.frames_and_features import share_rows
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.image_vectors import path_beside
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.learn.frozen.feature_file import FeatureFile
from pt4al_backend.state.paths import frames_path
from pt4al_backend.state.store import Store
from tests.support.images import LABEL_CONFIG
from tests.support.pools import SIZE
from tests.support.trainings import known, ten_tasks

LEARNER, WIDTH = "projects/1/rank-1/result", 4
ROWS = np.arange(10)
FEATURES = np.arange(10 * WIDTH).reshape(10, 1, WIDTH).astype(np.float16)


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    for opened in ten_tasks(settings):
        opened.set_tasks(1, {"id": list(range(1, 11)), "loss": np.zeros(10)})
        opened.change(1, learner=LEARNER, next_row=10)
        yield opened


@pytest.fixture
def hosts(store: Store, settings: ServerSettings, tmp_path: Path) -> list[ServerSettings]:
    """Two hosts with the frames, and a pretext learner; the first has its features."""
    found = [
        settings.model_copy(update={"data_dir": tmp_path / name, "artefacts_url": f"file://{tmp_path}/store"}) for name in "ab"
    ]
    for host in found:
        learn(host)
        with FrameFile(frames_path(host, known(store)), (SIZE, SIZE)) as frames:
            for row in ROWS:
                frames.write(int(row), np.full((SIZE, SIZE, 3), row, np.uint8))
    with features(found[0]) as file, FrameFile(frames_path(found[0], known(store)), (SIZE, SIZE)) as frames:
        file.write(ROWS, FEATURES, frames)
    return found


def learn(host: ServerSettings) -> None:
    """The pretext learner without its features, as the store has it."""
    shutil.rmtree((host.data_dir / LEARNER).parent, ignore_errors=True)
    with artefacts.writing(host.data_dir / LEARNER, features=WIDTH, fingerprint="f"):
        pass


def features(host: ServerSettings) -> FeatureFile:
    return FeatureFile(path_beside(host.data_dir / LEARNER), 1, WIDTH)


def look(store: Store, host: ServerSettings) -> None:
    ctx: Any = SimpleNamespace(
        resources=SimpleNamespace(shared=SharedJobs.of(host)),
        settings=host,
        store=store,
        project=known(store),
        options=ProjectSettings(),
        reader=ClassificationReader(parse(LABEL_CONFIG)),
        served_at=time.monotonic() + 3600,
    )
    share_rows(ctx)


def test_features_of_a_pretext_learner_come_from_the_host_that_computed_them_and_back_with_the_learner(
    store: Store, hosts: list[ServerSettings]
) -> None:
    for host in hosts:
        look(store, host)
    for _ in range(2):
        with features(hosts[1]) as file:
            assert np.array_equal(file.read(ROWS), FEATURES)
        learn(hosts[1])  # it was deleted when there was no room, and is fetched again
        look(store, hosts[1])


def test_quiet_look_asks_the_store_nothing_of_frames_and_features(
    store: Store, hosts: list[ServerSettings], tmp_path: Path
) -> None:
    for host in hosts:
        look(store, host)
    shutil.rmtree(tmp_path / "store")
    for host in hosts:
        look(store, host)
    assert not (tmp_path / "store").exists()
    store.change(1, next_row=11)
    look(store, hosts[0])
    assert (tmp_path / "store").exists()


def test_what_was_shared_of_another_size_goes(store: Store, hosts: list[ServerSettings], tmp_path: Path) -> None:
    old = tmp_path / "store" / "projects" / "1" / "rows" / "pixels-8x8.u8"
    old.mkdir(parents=True)
    look(store, hosts[0])
    assert not old.exists()
    assert len(list(old.parent.iterdir())) == 2
