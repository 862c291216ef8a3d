"""Shards: several workers share a listing, a killed one costs its shard, and what is damaged is done again."""

import json
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from PIL import Image

from pt4al_backend.config import ProjectSettings, server_settings
from pt4al_backend.errors import ConfigError, StoreCorrupt, TrainingImpossible
from pt4al_backend.images.sources import Files
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.run.node import environment_of
from pt4al_backend.jobs.shards import plan
from pt4al_backend.jobs.shards.bucket import BucketFolder
from pt4al_backend.jobs.shards.folder import PLAN, LocalFolder
from pt4al_backend.jobs.shards.shard import DIGEST_BYTES, Notes, Shard
from pt4al_backend.jobs.spec import RankSpec, ShardsSpec
from pt4al_backend.learn.tasks import whole_image
from pt4al_backend.ops import rank_files
from tests.support.encoders import ENCODER, weights_dir
from tests.support.here import Here
from tests.support.servers import wait_until

IMAGES, SHARD, SIDE = 14, 4, 32


class Killed(BaseException):
    """What nobody expects."""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LEAST_SHARD", SHARD)
    monkeypatch.setattr(plan, "SHARDS", 1_000)
    monkeypatch.setattr(BucketFolder, "settled", 0.0)
    monkeypatch.setattr(whole_image, "LEAST_SIDE_FROZEN", SIDE)  # images are not enlarged
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image was read."""
    counted, read = Counter[str](), Files.read_version

    def counting(self: Files, name: str, most: int) -> Any:
        counted[Path(name).name] += 1
        return read(self, name, most)

    monkeypatch.setattr(Files, "read_version", counting)
    return counted


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(folder / f"{number:02}.png")
    return folder


class Command:
    """`pt4al rank` on a lake, with a data folder of its own for each host."""

    def __init__(self, folder: Path, lake: Path) -> None:
        self._folder, self._lake = folder, lake
        self.notes: list[str] = []
        weights_dir(folder / "weights")

    def __call__(self, host: str = "host", **wanted: Any) -> tuple[rank_files.Ranked, list[Any]]:
        settings = server_settings(
            data_dir=self._folder / host, device="cpu", pretrained="off", weights_dir=self._folder / "weights"
        )
        to = self._folder / f"{host}.json"
        to.unlink(missing_ok=True)
        ranked = rank_files.rank(
            [str(self._lake)],
            settings,
            ProjectSettings(encoder=ENCODER),
            rank_files.Wanted("classification", prefix="", **wanted),
            rank_files.Targets(to),
            report=lambda event: self.notes.append(event.note),
            runner=Here(),
        )
        return ranked, json.loads(to.read_text())

    def images_of(self, shard: Path) -> set[str]:
        """What the images of a shard are called."""
        work = LocalFolder(shard.parent.parent)
        found = work.plan()
        assert found is not None
        return {Path(name).name for name, _ in work.images(found, int(shard.name))}

    @staticmethod
    def shards_in(folder: Path) -> list[Path]:
        return sorted(folder.glob("0*"))

    def shards(self, host: str = "host") -> list[Path]:
        return sorted((self._folder / host).glob("rankings/*/shards/shards/0*"))


@pytest.fixture
def rank(tmp_path: Path, lake: Path) -> Command:
    return Command(tmp_path, lake)


def test_two_workers_rank_as_one_does(rank: Command, lake: Path) -> None:
    (lake / "broken.png").write_bytes(b"no image")
    (lake / "same.png").write_bytes((lake / "03.png").read_bytes())
    one, tasks = rank("one")
    two, others = rank("two", workers=2)
    assert tasks == others
    assert len(tasks) == IMAGES
    assert [Path(name).name for name, _ in two.skipped] == ["broken.png"]
    assert {Path(name).name for pair in two.copies for name in pair} == {"same.png", "03.png"}
    assert one == two


def test_killed_ranking_does_again_what_was_under_way_and_nothing_else(
    rank: Command, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Files.read_version

    def killing(self: Files, name: str, most: int) -> Any:
        if len(rank.shards()) == 2:
            raise Killed
        return read(self, name, most)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "read_version", killing)
        with pytest.raises(Killed):
            rank()
    done = rank.shards()
    assert len(done) == 2
    known = {name for each in done for name in rank.images_of(each)}
    reads.clear()
    _, tasks = rank()
    assert set(reads) == {f"{number:02}.png" for number in range(IMAGES)} - known
    assert tasks == rank("unharmed")[1]


def test_damaged_shard_is_found_and_done_again(rank: Command, reads: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pt4al_backend.ops.rank_files.sharded.Outcomes.of", lambda *_: [][0])
        with pytest.raises(IndexError):
            rank()
    damaged = rank.shards()[2]
    images, file = rank.images_of(damaged), damaged / "upright.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    reads.clear()
    _, tasks = rank()
    assert set(reads) == images
    assert any("000002" in note and "described again" in note for note in rank.notes)
    assert tasks == rank("unharmed")[1]


@pytest.mark.parametrize("kind", ["path", "URL"])
def test_hosts_share_a_work_folder_and_both_get_the_ranking(
    rank: Command, reads: Counter[str], tmp_path: Path, kind: str
) -> None:
    place = str(tmp_path / "work") if kind == "path" else f"file://{tmp_path}/work"
    _, tasks = rank("one", work_dir=place)
    reads.clear()
    assert rank("two", work_dir=place)[1] == tasks
    assert not reads


@pytest.mark.parametrize(("prefix", "disk"), [("", "work"), ("file://", "host")])
def test_disk_that_shards_or_their_copies_do_not_fit_on_is_refused_before_any_is_made(
    rank: Command, reads: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, disk: str
) -> None:
    monkeypatch.setattr("pt4al_backend.ops.rank_files.reader.SPARE_BYTES", 10**18)
    with pytest.raises(ConfigError, match=rf"takes .* of disk; .* free in {tmp_path}/{disk}/"):
        rank(work_dir=f"{prefix}{tmp_path}/work")
    assert max(reads.values()) == 1  # for the size of all


def test_host_with_other_weights_describes_no_shard(rank: Command, tmp_path: Path) -> None:
    place = tmp_path / "work"
    rank("one", work_dir=str(place))
    LocalFolder(place).drop(1)
    weights_dir(tmp_path / "weights", seed=1)
    with pytest.raises(TrainingImpossible, match=f"begun with weights of .*delete {place} to start over"):
        rank("two", work_dir=str(place))


def test_shard_of_a_plan_that_is_replaced_meanwhile_is_not_kept(
    rank: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, read = LocalFolder(tmp_path / "work"), Files.read_version

    def replacing(self: Files, name: str, most: int) -> Any:
        if found := work.plan():
            work.write(PLAN, found.model_copy(update={"listing": "another"}).model_dump_json().encode())
        return read(self, name, most)

    monkeypatch.setattr(Files, "read_version", replacing)
    with pytest.raises(StoreCorrupt, match="started over"):
        rank(work_dir=str(tmp_path / "work"))
    assert not list((tmp_path / "work/shards").iterdir())


def test_command_says_that_it_waits_while_another_one_lists_the_images(rank: Command, tmp_path: Path) -> None:
    place = tmp_path / "work"
    with ThreadPoolExecutor() as thread:
        with LocalFolder(place).claimed("plan") as is_ours:
            assert is_ours
            ranked = thread.submit(rank, work_dir=str(place))
            wait_until(lambda: any("this one waits" in note for note in rank.notes), 60, "it says so")
            assert not ranked.done()
        assert len(ranked.result()[1]) == IMAGES


HOLDER = """
import sys, time
from pathlib import Path
from pt4al_backend.jobs.shards.folder import LocalFolder
with LocalFolder(Path(sys.argv[1])).claimed("000001") as is_ours:
    print(is_ours, flush=True)
    time.sleep(600)
"""


def test_shard_of_a_worker_that_is_killed_is_done_by_another(rank: Command, reads: Counter[str], tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "work")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "work")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder, ThreadPoolExecutor() as thread:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        ranked = thread.submit(rank, work_dir=str(tmp_path / "work"))
        wait_until(lambda: ranked.done() or len(rank.shards_in(folder.shards)) == 3, 120, "all others are done")
        held = rank.images_of(folder.shards / "000001")
        others = Counter(reads)
        assert not ranked.done()
        holder.kill()
        assert len(ranked.result()[1]) == IMAGES
    assert set(reads - others) == held


PLANNER = """
import sys
from tests.jobs.test_shards import listed, planned
from pt4al_backend.jobs.shards.bucket import BucketFolder
from pathlib import Path

class Slow(BucketFolder):
    def write(self, name, data):
        super().write(name, data)
        if name.startswith("names/"):
            print(name, flush=True)
            sys.stdin.readline()

Slow(sys.argv[1], Path(sys.argv[2])).begin(planned(sys.argv[3]), listed(sys.argv[3]), {})
"""


def listed(name: str) -> list[str]:
    return [f"/{name}/{number}.png" for number in range(3 * SHARD)]


def planned(name: str) -> plan.Plan:
    """A plan for what ``listed`` gives."""
    facts: dict[str, Any] = {"wanted": "", "begun": name, "root": "", "task": "classification", "encoder": ENCODER, "sha256": ""}
    sizes: dict[str, Any] = {"images": 3 * SHARD, "size": SHARD, "stored": (32, 32), "shape": (32, 32)}
    bounds: dict[str, Any] = {"max_bytes": 1, "max_pixels": 1}
    return plan.Plan(**facts, **sizes, **bounds, listing=plan.listing_of(listed(name), {}))


@pytest.mark.parametrize("ends", ["killed", "goes on"])
def test_two_that_plan_at_once_never_mix_what_they_listed(tmp_path: Path, ends: str) -> None:
    place = f"file://{tmp_path}/work"
    command = [sys.executable, "-c", PLANNER, place, str(tmp_path / "copies"), "first"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline().startswith(b"names/")  # in the middle of its names, which are three
        work = BucketFolder(place, tmp_path / "copies")
        work.begin(planned("second"), listed("second"), {})
        if ends == "killed":
            first.kill()
        else:
            first.communicate(b"\n\n\n", timeout=60)
    found = work.plan()
    assert found == planned("second" if ends == "killed" else "first")
    assert [name for shard in range(found.shards) for name, _ in work.images(found, shard)] == listed(found.begun)


def test_shard_of_another_ranking_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    work, features = bucket(tmp_path), np.zeros((SHARD, 4, 2), np.float16)
    shard = Shard(features, np.zeros((SHARD, DIGEST_BYTES), np.uint8), Notes(problems={}, changed=[]))
    work.put(planned("first"), 1, shard)
    assert work.get(planned("first").model_copy(update={"begun": "later"}), 1).is_dir()
    with pytest.raises(StoreCorrupt, match="of another ranking"):
        work.get(planned("second"), 1)


def bucket(folder: Path, **seconds: float) -> BucketFolder:
    """The work folder of one host in a store, with claims that are rewritten or free after other times."""
    found = BucketFolder(f"file://{folder}/work", folder / "copies")
    vars(found).update(seconds)
    return found


def test_claim_outlives_a_store_that_fails_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, has_failed, write = tmp_path / "work/claims/000000.json", threading.Event(), LocalFileSystem.pipe_file

    def failing(*given: Any, **options: Any) -> None:
        if not has_failed.is_set():
            has_failed.set()
            raise ConnectionError
        write(*given, **options)

    with bucket(tmp_path, beat=0.01).claimed("000000"):
        monkeypatch.setattr(LocalFileSystem, "pipe_file", failing, raising=False)
        assert has_failed.wait(60)
        before = claim.read_bytes()
        wait_until(lambda: claim.read_bytes() != before, 30, "the claim is rewritten")


def test_claim_in_a_store_is_kept_while_it_is_renewed_and_free_when_it_is_not(tmp_path: Path) -> None:
    patient, hasty = bucket(tmp_path, stale=1_000.0), bucket(tmp_path, stale=-1.0)
    with bucket(tmp_path, beat=1_000.0).claimed("000000") as is_first:
        assert is_first
        for other in (patient, patient, hasty):
            with other.claimed("000000") as is_ours:
                assert not is_ours
        with hasty.claimed("000000") as is_ours:  # it has seen the claim unchanged for as long as it waits
            assert is_ours
    with patient.claimed("000000") as is_ours:
        assert is_ours


def test_holder_of_a_claim_that_was_taken_over_leaves_it_to_the_other(tmp_path: Path) -> None:
    claim = tmp_path / "work/claims/000000.json"
    with bucket(tmp_path, beat=0.01).claimed("000000"):
        (beating,) = (thread for thread in threading.enumerate() if thread.name == "claim 000000")
        taken = json.dumps({"owner": "another", "beat": 0})
        wait_until(lambda: claim.write_text(taken) and not beating.is_alive(), 30, "the first one rewrites it no more")
        assert claim.read_text() == taken
    assert claim.read_text() == taken


def test_worker_that_was_stopped_keeps_no_shard_that_another_one_has_done(
    rank: Command, reads: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host takes the work over while the first one is at an image; then the first one goes on."""
    place, read, others = f"file://{tmp_path}/work", Files.read_version, list[Any]()
    shards, is_first = tmp_path / "work/shards", threading.Lock()

    def overtaken(self: Files, name: str, most: int) -> Any:
        if list((tmp_path / "work/claims").glob("0*")) and is_first.acquire(blocking=False):
            others.append((rank("two", work_dir=place)[1], {each: each.read_bytes() for each in shards.glob("*.json")}))
        return read(self, name, most)

    monkeypatch.setattr(BucketFolder, "stale", -1.0)
    monkeypatch.setattr(BucketFolder, "seconds", 0.01)
    monkeypatch.setattr(Files, "read_version", overtaken)
    _, tasks = rank("one", work_dir=place)
    ((other, done),) = others
    assert tasks == other
    assert len(done) == 4
    assert {each: each.read_bytes() for each in shards.glob("*.json")} == done  # each names one version


def test_workers_get_the_credentials_of_stores_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "LABEL_STUDIO_API_KEY"):
        monkeypatch.setenv(name, "hidden")
    facts: dict[str, Any] = {"task": "classification", "settings": ProjectSettings(), "device": "cpu", "pretrained": "off"}
    shape: dict[str, Any] = {"stored": (32, 32), "shape": (32, 32)}
    prepare(tmp_path / "shards", ShardsSpec(**facts, **shape, place=str(tmp_path)))
    prepare(tmp_path / "rank", RankSpec(**facts, **shape, frames=tmp_path))
    reader, other = environment_of(tmp_path / "shards"), environment_of(tmp_path / "rank")
    assert reader["AWS_SECRET_ACCESS_KEY"] == "hidden"
    assert not {"AWS_SECRET_ACCESS_KEY", "LABEL_STUDIO_API_KEY"} & set(other)
    assert "LABEL_STUDIO_API_KEY" not in reader
