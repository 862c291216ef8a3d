"""A ranked bucket in a real Label Studio: the best of it is imported, and refills add the rest, never a twin."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from typer.testing import CliRunner, Result

from pt4al_backend.cli import app
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.ops import rank_files
from tests.support.bucket import ENVIRONMENT, S3Server, picture, s3_server
from tests.support.by_number import ByNumber
from tests.support.here import RestartingHere
from tests.support.loop import Loop
from tests.support.servers import LabelStudioServer

pytestmark = pytest.mark.label_studio
pytest.importorskip("s3fs", reason="needs the extra s3")
pytest.importorskip("moto", reason="needs the extra dev")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make("lake", {f"photos/{number:02}.png": picture(number) for number in range(24)})
        yield running


@pytest.fixture
def loop(
    label_studio: LabelStudioServer, lead: Annotator, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Loop]:
    """A project whose source storage is the bucket; Label Studio gives its images by presigned URLs."""
    params = {"rounds": 3, "query_size": 4, "control_share": 0, "reserve_size": 2}
    with Loop(label_studio, lead, tmp_path / "loop", params, runner=RestartingHere(), image_hosts="127.0.0.1") as made:
        settings = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}
        settings |= {"PT4AL_DATA_DIR": str(made.settings.data_dir), "PT4AL_DEVICE": "cpu", "PT4AL_PRETRAINED": "off"}
        for name, value in {**server.environment, **settings}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(rank_files, "runner_of", lambda _: ByNumber())
        connect(label_studio, server, made.id)
        yield made


def connect(label_studio: LabelStudioServer, server: S3Server, project: int) -> None:
    storage = {"project": project, "bucket": "lake", "presign": True, "s3_endpoint": server.url, "region_name": "us-east-1"}
    storage |= {name.lower(): value for name, value in ENVIRONMENT.items() if name.startswith("AWS_") and "KEY" in name}
    token = {"Authorization": f"Token {label_studio.token}"}
    requests.post(f"{label_studio.url}/api/storages/s3", json=storage, headers=token, timeout=30).raise_for_status()


def pt4al(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def images(loop: Loop) -> list[str]:
    return [task["data"]["image"] for page in loop.client.task_pages(loop.id) for task in page]


def ranked(loop: Loop, folder: Path) -> list[str]:
    """Imports the best eight; returns the names of the others, best first."""
    result = pt4al("rank", "s3://lake/photos", "--take", 8, "--out", folder / "tasks.json")
    assert result.exit_code == 0, result.output
    loop.lead.import_tasks(loop.id, json.loads((folder / "tasks.json").read_text()))
    return [json.loads(line)["name"] for line in (folder / "tasks.rest.jsonl").read_text().splitlines()[1:]]


def test_refill_adds_the_next_best_of_a_bucket_by_hand_and_by_itself_and_never_a_twin(loop: Loop, tmp_path: Path) -> None:
    rest = ranked(loop, tmp_path)
    early = pt4al("refill", loop.id, "--rest", tmp_path / "tasks.rest.jsonl")
    assert early.exit_code == 1
    assert "8 tasks" in early.stderr
    assert "not read yet" in early.stderr

    (tmp_path / "copy.png").write_bytes(picture(int(rest[1][-6:-4])))
    loop.lead.upload_images(loop.id, [tmp_path / "copy.png"])
    loop.lead.import_tasks(loop.id, [{"data": {"image": rest[2]}}])
    assert loop.reconcile().error == ""
    by_hand = pt4al("refill", loop.id, "--take", 4)
    assert by_hand.exit_code == 0, by_hand.output
    assert "4 tasks were added from the ranked rest, 10 images are left" in " ".join(by_hand.stdout.split())
    assert "2 that are there already" in " ".join(by_hand.stdout.split())
    added = [rest[0], *rest[3:6]]
    assert images(loop)[-4:] == added

    loop.connect(refill_below=16, refill_size=3)
    loop.reconcile()
    assert images(loop)[-3:] == rest[6:9]
    assert not loop.project.notices.get("refill")
    assert loop.reconcile().error == ""
    assert len(images(loop)) == 17
    assert loop.store.set_aside(loop.id) == (0, [])  # Label Studio gave every image of the bucket
    assert not any(secret in json.dumps(images(loop)) for secret in ("X-Amz", *ENVIRONMENT.values()))

    # framed in another shape, images are told apart by reading them once more; addresses are signed when they are added
    heading, *lines = (tmp_path / "tasks.rest.jsonl").read_text().splitlines()
    other = {**json.loads(heading), "stored": [64, 64], "presign": 3600}
    (tmp_path / "other.jsonl").write_text("\n".join([json.dumps(other), *lines]) + "\n")
    every = pt4al("refill", loop.id, "--rest", tmp_path / "other.jsonl", "--take", 100)
    assert every.exit_code == 0, every.output
    names = Counter(urlsplit(image).path.rpartition("/")[2] for image in images(loop))
    assert names.keys() >= {name.rpartition("/")[2] for name in rest if name != rest[1]}
    assert max(names.values()) == 1
    assert rest[1].rpartition("/")[2] not in names
    loop.connect(refill_below=1000)
    assert "used up" in loop.reconcile().notices["refill"]
    for image in images(loop)[-7:]:
        assert "X-Amz-Expires=3600" in image
        assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in image
        assert requests.get(image, timeout=10).ok


def test_project_that_cannot_read_its_bucket_is_not_given_all_of_it(
    label_studio: LabelStudioServer, loop: Loop, tmp_path: Path
) -> None:
    token = {"Authorization": f"Token {label_studio.token}"}
    storages = f"{label_studio.url}/api/storages/s3"
    for storage in requests.get(storages, params={"project": loop.id}, headers=token, timeout=30).json():
        requests.delete(f"{storages}/{storage['id']}", headers=token, timeout=30).raise_for_status()
    loop.connect(refill_below=10, refill_size=4)
    assert "pt4al refill" in loop.reconcile().notices["refill"]
    ranked(loop, tmp_path)
    loop.reconcile()
    assert pt4al("refill", loop.id, "--rest", tmp_path / "tasks.rest.jsonl", "--take", 4).exit_code == 0
    for _ in range(3):
        loop.reconcile()
    assert len(images(loop)) == 12
    assert "12 are set aside" in loop.project.notices["refill"]
