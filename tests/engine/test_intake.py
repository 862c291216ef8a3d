"""Taking in images: from references to frames in one file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine import intake as intake_module
from pt4al_backend.engine.intake import Intake
from pt4al_backend.errors import AuthError, ImageUnreadable
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import digest
from pt4al_backend.jobs.object_store import ObjectStore
from pt4al_backend.jobs.shared_rows import SharedRows
from pt4al_backend.state.paths import frames_path, project_dir, rows_in_store
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.images import arrow, encoded
from tests.support.trainings import known


class Files:
    """Stands for the fetcher: files by reference; what is not there cannot be read."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.fetched: list[int] = []
        self.error: Exception | None = None
        self.late: set[str] = set()

    def add(self, ids: range, size: int = 32) -> None:
        self.files |= {f"{i}.png": encoded(arrow(i, size)) for i in ids}

    def fetch(self, reference: object, task_id: int) -> bytes:
        self.fetched.append(task_id)
        if self.error:
            raise self.error
        if str(reference) in self.late:
            raise ImageUnreadable(f"{reference} did not come.", transient=True)
        if str(reference) not in self.files:
            raise ImageUnreadable(f"{reference} is missing.", transient=False)
        return self.files[str(reference)]


@pytest.fixture
def files() -> Files:
    return Files()


def add_tasks(store: Store, ids: range) -> None:
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in ids])


def take_in(
    store: Store, settings: ServerSettings, files: Files, shared: ObjectStore | None = None, **params: Any
) -> list[tuple[int, int]]:
    """Runs it; returns the progress that it reported."""
    seen: list[tuple[int, int]] = []
    fetcher: Any = files
    Intake(store, settings, fetcher, known(store), ProjectSettings(**params), "classification", shared).run(
        lambda *done: seen.append(done)
    )
    return seen


def frame(store: Store, settings: ServerSettings, task_id: int) -> Any:
    tasks = store.tasks(1)
    stored = known(store).stored_shape
    assert stored is not None
    with FrameFile(frames_path(settings, known(store)), stored) as pixels:
        return pixels.read(tasks.rows[tasks.ids == task_id])[0]


def test_image_becomes_a_frame_in_the_file(store: Store, settings: ServerSettings, files: Files) -> None:
    add_tasks(store, range(1, 11))
    files.add(range(1, 11))
    progress = take_in(store, settings, files)
    assert progress == [(done, 10) for done in range(11)]
    assert sorted(store.tasks(1).rows.tolist()) == list(range(10))
    for task_id in (1, 10):
        assert (frame(store, settings, task_id) == np.asarray(arrow(task_id))).all()


def test_second_run_fetches_only_new_tasks(store: Store, settings: ServerSettings, files: Files) -> None:
    add_tasks(store, range(1, 6))
    files.add(range(1, 8))
    take_in(store, settings, files)
    add_tasks(store, range(6, 8))
    files.fetched.clear()
    take_in(store, settings, files)
    assert sorted(files.fetched) == [6, 7]
    assert (frame(store, settings, 7) == np.asarray(arrow(7))).all()
    assert (frame(store, settings, 1) == np.asarray(arrow(1))).all()


def test_unreadable_images_neither_stop_others_nor_decide_their_size(
    store: Store, settings: ServerSettings, files: Files
) -> None:
    add_tasks(store, range(1, 101))
    files.add(range(91, 101), size=48)
    take_in(store, settings, files)
    assert (known(store).image_shape, known(store).stored_shape) == ((48, 48), (48, 48))
    assert store.counts(1)["fetched"] == 10
    assert store.set_aside(1, 1) == (90, [(1, "1.png is missing.")])


def test_size_stays_open_until_an_image_can_be_read(
    store: Store, settings: ServerSettings, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "REFETCH_SECONDS", 0.0)
    add_tasks(store, range(1, 6))
    take_in(store, settings, files)
    assert known(store).stored_shape is None
    assert store.counts(1)["aside"] == 5
    files.add(range(1, 6))  # somebody connected the storage
    take_in(store, settings, files)
    assert known(store).stored_shape == (32, 32)
    assert store.counts(1) | {"aside": 0, "fetched": 5} == store.counts(1)


def test_image_set_aside_is_not_fetched_again_at_once(store: Store, settings: ServerSettings, files: Files) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 3))
    take_in(store, settings, files)
    files.fetched.clear()
    assert take_in(store, settings, files) == []
    assert files.fetched == []


def test_error_of_label_studio_sets_no_image_aside(store: Store, settings: ServerSettings, files: Files) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 4))
    files.error = AuthError("refused")
    with pytest.raises(AuthError):
        take_in(store, settings, files)
    assert store.counts(1)["aside"] == 0
    files.error = None
    take_in(store, settings, files)
    assert store.counts(1)["fetched"] == 3


def test_another_image_size_starts_over_without_the_old_ranking(store: Store, settings: ServerSettings, files: Files) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 4))
    take_in(store, settings, files)
    store.set_tasks(1, {"id": [1, 2, 3], "loss": [1.0, 2.0, 3.0], "batch": [1, 1, 1]})
    store.change(1, learner="projects/1/rank-1/result", learner_pool=3)
    (project_dir(settings, Project(id=1)) / "rank-1" / "result").mkdir(parents=True)
    take_in(store, settings, files, image_size=64)
    assert (known(store).image_shape, known(store).learner) == ((64, 64), "")
    assert np.isnan(store.tasks(1).losses).all()
    assert frame(store, settings, 2).shape == (64, 64, 3)
    folder = project_dir(settings, Project(id=1))
    assert sorted(path.name for path in folder.iterdir()) == [
        "pixels-64x64.u8",
        "pixels-64x64.u8.crc",
    ]


def damage(path: Path, how: str) -> None:
    """Harms a file."""
    if how == "cut":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2 + 7)
    elif how == "deleted":
        path.unlink()
    elif how == "replaced by a folder":
        path.unlink()
        (path / "inside").mkdir(parents=True)
    else:
        path.write_bytes(b"\x5a" * path.stat().st_size)


@pytest.mark.parametrize("how", ["cut", "deleted", "replaced by a folder", "overwritten"])
def test_damaged_frame_file_is_made_again(store: Store, settings: ServerSettings, files: Files, how: str) -> None:
    add_tasks(store, range(1, 11))
    files.add(range(1, 11))
    take_in(store, settings, files)
    store.set_tasks(1, {"id": range(1, 11), "loss": [1.0] * 10, "batch": [1] * 10})
    path = frames_path(settings, known(store))
    damage(path, how)
    if how == "overwritten":  # which its size does not tell; a job found out
        store.change(1, frames_suspect=True)
    named = project_dir(settings, Project(id=1)) / "learn-1"
    named.mkdir()

    files.error = AuthError("refused")
    with pytest.raises(AuthError):
        take_in(store, settings, files)
    assert "stored images were damaged or gone. They are fetched again." in known(store).notices["frames"]
    assert not named.exists(), "a job that names rows that are gone"
    files.error = None
    files.fetched.clear()
    take_in(store, settings, files)
    assert len(files.fetched) == (5 if how == "cut" else 10)
    assert all((frame(store, settings, i) == np.asarray(arrow(i))).all() for i in range(1, 11))
    assert (known(store).notices, known(store).frames_suspect) == ({}, False)
    assert np.isfinite(store.tasks(1).losses).all()


def test_row_of_an_image_that_is_gone_is_given_to_no_other(store: Store, settings: ServerSettings, files: Files) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 5))
    take_in(store, settings, files)
    row = store.tasks(1).rows[-1]
    before = frame(store, settings, 3)
    store.drop_tasks(1, [3])
    add_tasks(store, range(4, 5))
    take_in(store, settings, files)
    with FrameFile(frames_path(settings, known(store)), (32, 32)) as pixels:
        assert (pixels.read(np.array([row]))[0] == before).all()
    assert (frame(store, settings, 4) == np.asarray(arrow(4))).all()


def test_image_that_is_cut_short_is_used_and_noted(store: Store, settings: ServerSettings, files: Files) -> None:
    files.add(range(1, 4))
    whole = encoded(arrow(2, 64))
    files.files["2.png"] = whole[: len(whole) * 2 // 3]
    add_tasks(store, range(1, 4))
    take_in(store, settings, files)
    assert store.counts(1)["fetched"] == 3
    assert store.set_aside(1) == (0, [])
    total, notes = store.image_notes(1)
    assert (total, [task for task, _ in notes]) == (1, [2])
    assert "cut short" in notes[0][1]
    store.put_tasks(1, [{"id": 2, "image": "3.png", "problem": ""}])  # it was replaced
    take_in(store, settings, files)
    assert store.image_notes(1) == (0, [])


@pytest.mark.parametrize("old", ["can be read", "is missing"])
def test_image_that_is_replaced_while_it_is_fetched_is_fetched_again(
    store: Store, settings: ServerSettings, files: Files, old: str
) -> None:
    add_tasks(store, range(6, 7))
    files.add(range(1 if old == "can be read" else 2, 10))
    files.files["new.png"] = encoded(arrow(9, 32))
    take_in(store, settings, files)
    add_tasks(store, range(1, 6))
    files.fetched.clear()

    def replaced(done: int, _: int) -> None:
        if done == 3:
            store.put_tasks(1, [{"id": 1, "image": "new.png", "problem": ""}])

    fetcher: Any = files
    taken = Intake(store, settings, fetcher, known(store), ProjectSettings(), "classification").run(replaced)
    assert (sorted(taken.ids), taken.is_all) == ([1, 2, 3, 4, 5], True)
    assert store.set_aside(1) == (0, [])
    assert (frame(store, settings, 1) == np.asarray(arrow(9, 32))).all()
    assert sorted(files.fetched) == [1, 1, 2, 3, 4, 5]
    add_tasks(store, range(9, 10))
    take_in(store, settings, files)
    assert store.origins(1, [1, 9]) == {9: 1}, "its digest is that of the new image"


def test_host_without_the_frames_of_another_fills_the_same_rows(hosts: list[ServerSettings], store: Store, files: Files) -> None:
    files.add(range(1, 7))
    for host, ids in zip([*hosts, hosts[0]], (range(1, 4), range(4, 6), range(6, 7)), strict=True):
        add_tasks(store, ids)
        take_in(store, host, files)
    before = store.tasks(1).rows.tolist()
    for host in hosts:
        take_in(store, host, files)
        for task_id in range(1, 7):
            assert np.array_equal(frame(store, host, task_id), np.asarray(arrow(task_id, 32)))
    assert store.tasks(1).rows.tolist() == before == list(range(6))


@pytest.fixture
def hosts(settings: ServerSettings, tmp_path: Path) -> list[ServerSettings]:
    """Two hosts of one state without a common disk."""
    url = f"file://{tmp_path}/store"
    return [settings.model_copy(update={"artefacts_url": url, "data_dir": tmp_path / name}) for name in "ab"]


def test_host_that_reaches_no_image_undoes_nothing_of_the_other(hosts: list[ServerSettings], store: Store, files: Files) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 4))
    take_in(store, hosts[0], files)
    files.error = ImageUnreadable("The host did not answer.", transient=True)
    with pytest.raises(ImageUnreadable, match=r"3 images that another host has stored .* The host did not answer\."):
        take_in(store, hosts[1], files)
    assert store.tasks(1).rows.tolist() == [0, 1, 2]
    files.error = None
    take_in(store, hosts[1], files)
    assert np.array_equal(frame(store, hosts[1], 2), np.asarray(arrow(2, 32)))


def test_host_that_reaches_only_some_images_undoes_nothing_of_the_other(
    hosts: list[ServerSettings], store: Store, files: Files
) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 4))
    take_in(store, hosts[0], files)
    files.late = {"2.png"}
    for is_suspect in (False, True):
        store.change(1, frames_suspect=is_suspect)
        with pytest.raises(ImageUnreadable, match=r"1 images that another host has stored .* 2\.png did not come\."):
            take_in(store, hosts[1], files)
    assert store.tasks(1).rows.tolist() == [0, 1, 2]
    files.fetched.clear()
    take_in(store, hosts[0], files)
    assert files.fetched == []
    files.late = set()
    take_in(store, hosts[1], files)
    assert files.fetched == [2]
    assert np.array_equal(frame(store, hosts[1], 2), np.asarray(arrow(2, 32)))


def test_image_that_is_gone_meanwhile_is_set_aside_for_both(hosts: list[ServerSettings], store: Store, files: Files) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 4))
    take_in(store, hosts[0], files)
    del files.files["2.png"]
    take_in(store, hosts[1], files)
    assert store.tasks(1).aside.tolist() == [False, True, False]


def shared_by(host: ServerSettings, store: Store, files: Files) -> ObjectStore:
    """The store to which a host has uploaded the frames of three tasks, which it has fetched."""
    add_tasks(store, range(1, 4))
    files.add(range(1, 4))
    take_in(store, host, files)
    project, rows = known(store), np.sort(store.rows(1)[1])
    objects = ObjectStore(host.artefacts_url)
    assert project.stored_shape is not None
    with FrameFile(frames_path(host, project), project.stored_shape) as frames:
        name = f"{rows_in_store(project)}/{frames.path.name}"
        SharedRows(objects, name, frames).share(rows, 0, project.next_row, list)
    return objects


def test_host_gets_the_frames_that_another_has_shared_though_their_images_are_gone(
    hosts: list[ServerSettings], store: Store, files: Files
) -> None:
    objects = shared_by(hosts[0], store, files)
    files.files.clear()
    files.fetched.clear()
    take_in(store, hosts[1], files, objects)
    assert files.fetched == []
    for task_id in (1, 2, 3):
        assert np.array_equal(frame(store, hosts[1], task_id), np.asarray(arrow(task_id, 32)))
    damaged = frames_path(hosts[1], known(store))
    damaged.write_bytes(bytes(damaged.stat().st_size))
    store.change(1, frames_suspect=True)
    take_in(store, hosts[1], files, objects)
    assert files.fetched == []
    assert store.tasks(1).rows.tolist() == [0, 1, 2]
    assert np.array_equal(frame(store, hosts[1], 2), np.asarray(arrow(2, 32)))


def test_shared_frame_that_is_not_what_the_state_knows_is_not_taken(
    hosts: list[ServerSettings], store: Store, files: Files
) -> None:
    """The state was set back to a backup, and its rows were given to other images since."""
    objects = shared_by(hosts[0], store, files)
    files.files["2.png"] = encoded(arrow(9, 32))
    store.put_digests(1, {2: digest(np.asarray(arrow(9, 32)))})
    files.fetched.clear()
    take_in(store, hosts[1], files, objects)
    assert files.fetched == [2]
    assert np.array_equal(frame(store, hosts[1], 2), np.asarray(arrow(9, 32)))


def test_image_that_is_gone_is_not_given_up_while_the_store_is_away(
    hosts: list[ServerSettings], store: Store, files: Files
) -> None:
    objects = shared_by(hosts[0], store, files)
    del files.files["2.png"]
    with pytest.raises(ImageUnreadable, match=r"2\.png is missing"):
        take_in(store, hosts[1], files, ObjectStore("no-such-protocol://store"))
    assert store.tasks(1).rows.tolist() == [0, 1, 2]
    take_in(store, hosts[1], files, objects)
    assert np.array_equal(frame(store, hosts[1], 2), np.asarray(arrow(2, 32)))


def test_look_of_a_host_that_has_all_frames_reads_no_rows(hosts: list[ServerSettings], store: Store, files: Files) -> None:
    add_tasks(store, range(1, 4))
    files.add(range(1, 4))
    for host in (*hosts, *hosts):
        take_in(store, host, files)
    before = list(files.fetched)
    reading: Any = store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "rows", None)
        for host in hosts:
            take_in(store, host, files)
    assert files.fetched == before
