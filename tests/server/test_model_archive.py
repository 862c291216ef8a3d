"""A model that is taken away answers images elsewhere."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from pt4al_backend.artefacts import HEAD, WEIGHTS
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.learn import learn
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.learn.predictor import Predictor
from pt4al_backend.progress import silent
from pt4al_backend.server.model_archive import pack
from tests.support.images import CLASSES, arrow, encoded
from tests.support.pools import ARROWS, SCENES, Pool, training_data


def trained(folder: Path, pool: Pool) -> Path:
    """The result of a training of a moment."""
    store = pool.store(folder / "frames", 24)
    job = training_data(folder / "learn-1", store, np.arange(16), np.arange(16, 24), pool)
    learn(NetworkJob.read(job), silent)
    return job / "result"


def unpacked(result: Path, folder: Path) -> Path:
    with ZipFile(BytesIO(b"".join(pack(result, "taken")))) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder / "taken"


def run(folder: Path, *images: Path) -> list[dict[str, object]]:
    command = [sys.executable, folder / "predict.py", *images, "--masks", folder / "masks"]
    console = {**os.environ, "PYTHONIOENCODING": "ascii"}  # one of another alphabet
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=console).stdout
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.training
def test_folder_answers_images_as_the_backend_does(tmp_path: Path) -> None:
    result = trained(tmp_path, ARROWS)
    folder = unpacked(result, tmp_path / "elsewhere")
    image, other = tmp_path / "pfeil-ä.png", tmp_path / "no image.png"
    image.write_bytes(encoded(arrow(1, 16)))
    other.write_bytes(b"text")
    first, second = run(folder, image, other)
    (answer,), (confidence,) = Predictor.load(result).predict(np.array(arrow(1, 16))[None])
    assert first == {"image": str(image), "confidence": pytest.approx(float(confidence), abs=1e-3), "answer": answer}
    assert first["answer"] in CLASSES
    assert "problem" in second


@pytest.mark.training
def test_masks_are_written_as_images_also_of_images_of_the_same_name(tmp_path: Path) -> None:
    folder = unpacked(trained(tmp_path, SCENES), tmp_path / "elsewhere")
    images = [tmp_path / place / "1.png" for place in ("a", "b")]
    for number, image in enumerate(images):
        image.parent.mkdir()
        image.write_bytes(encoded(arrow(number, 40)))
    said = run(folder, *images)
    masks = [Path(str(each["mask"])) for each in said]
    assert sorted((folder / "masks").iterdir()) == sorted(masks)
    assert len(masks) == 2
    assert said[0]["classes"] == list(SCENES.classes)


@pytest.mark.training
def test_archive_holds_the_model_and_no_place_of_this_machine(tmp_path: Path) -> None:
    result = trained(tmp_path, ARROWS)
    folder = unpacked(result, tmp_path / "elsewhere")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files - {f"model/{HEAD}"} == {"README.txt", "predict.py", "model/manifest.json", f"model/{WEIGHTS}"}
    texts = "".join((folder / name).read_text() for name in ("README.txt", "predict.py", "model/manifest.json"))
    assert str(tmp_path) not in texts
    assert ", ".join(CLASSES) in (folder / "README.txt").read_text()


def test_damaged_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreCorrupt):
        next(pack(tmp_path, "taken"))
