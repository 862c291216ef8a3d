"""Ranking a bucket from several hosts, which share a work folder in another one."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner, Result

from pt4al_backend.cli import app
from pt4al_backend.jobs.shards.bucket import BucketFolder
from pt4al_backend.ops import rank_files
from tests.support.bucket import picture, s3_server
from tests.support.encoders import ENCODER, weights_dir
from tests.support.here import Here

pytest.importorskip("s3fs", reason="needs the extra s3")
pytest.importorskip("moto", reason="needs the extra dev")


def test_hosts_share_a_work_folder_in_a_bucket_and_a_changed_object_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"PT4AL_DEVICE": "cpu", "PT4AL_ENCODER": ENCODER, "PT4AL_WEIGHTS_DIR": str(weights_dir(tmp_path / "weights"))}
    monkeypatch.setattr(BucketFolder, "settled", 0.0)
    with s3_server() as store:
        for name, value in {**store.environment, **settings, "OMP_NUM_THREADS": "1"}.items():
            monkeypatch.setenv(name, value)
        store.make("lake", {f"photos/{number}.png": picture(number) for number in range(12)})
        requests.put(f"{store.url}/shards", timeout=30).raise_for_status()

        class Changing(Here):
            def run(self, *given: Any) -> Path:
                store.put("lake", "photos/3.png", picture(99))
                return super().run(*given)

        monkeypatch.setattr(rank_files, "runner_of", lambda _: Changing())
        result, tasks = _ranked(tmp_path / "one", monkeypatch)
        assert "s3://lake/photos/3.png has changed since it was listed" in " ".join(result.stderr.split())
        assert len(tasks) == 12
        store.deny("lake", "")  # nothing is left to read
        assert _ranked(tmp_path / "another", monkeypatch)[1] == tasks


def _ranked(host: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Result, list[Any]]:
    host.mkdir()
    monkeypatch.setenv("PT4AL_DATA_DIR", str(host / "data"))
    arguments = ["rank", "s3://lake/photos", "--work-dir", "s3://shards/of this", "--out", str(host / "tasks.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result, json.loads((host / "tasks.json").read_text())
