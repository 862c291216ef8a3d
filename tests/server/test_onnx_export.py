"""A model as ONNX answers as the model itself."""

import json
from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.errors import PT4ALError, StoreCorrupt
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.learn.predictor import Predictor
from pt4al_backend.server.onnx_export import onnx_of
from tests.support.encoders import ENCODER, weights_dir
from tests.support.images import arrow
from tests.support.pools import ARROWS, SIZE, arrows, job, labelled
from tests.support.web_client import Client

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that was trained on the features of a tiny encoder."""
    from pt4al_backend.jobs.learn import learn
    from pt4al_backend.jobs.network_job import NetworkJob
    from pt4al_backend.progress import silent

    folder = tmp_path_factory.mktemp("trained")
    store = arrows(folder / "frames", 24)
    arrays = {"train": labelled(store, np.arange(16)), "control": labelled(store, np.arange(16, 24)), "candidates": np.arange(5)}
    weights = weights_dir(folder / "weights")
    settings = {"encoder": ENCODER}
    place = job(folder / "learn-1", JobKind.LEARN, store, arrays, ARROWS, weights=weights, settings=settings)
    learn(NetworkJob.read(place), silent)
    return place / "result"


@pytest.mark.slow
def test_encoder_and_head_are_one_graph_that_answers_alike(result: Path) -> None:
    import onnx
    import onnxruntime

    path = onnx_of(result)
    session = onnxruntime.InferenceSession(path)
    frames = np.stack([np.asarray(arrow(number, SIZE)) for number in range(30, 36)])
    (posteriors,) = session.run(None, {"frames": frames})
    answers, confidences = Predictor.load(result).predict(frames)
    facts = {each.key: json.loads(each.value) for each in onnx.load(path).metadata_props}
    assert [facts["classes"][k] for k in posteriors.argmax(1)] == answers
    assert posteriors.max(1) == pytest.approx(confidences, abs=0.03)  # which is computed in half precision
    assert facts["classes"] == list(ARROWS.classes)
    assert onnx_of(result) == path


def test_model_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreCorrupt):
        onnx_of(tmp_path / "result")


@pytest.mark.slow
def test_damaged_model_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "manifest.json").write_text("{}")
    with pytest.raises(PT4ALError, match="could not be written"):
        onnx_of(tmp_path / "result")
    assert list(tmp_path.glob("*.onnx")) == []


def test_project_without_a_model_has_no_onnx(client: Client, store) -> None:
    store.connect(7)
    assert client.get("/api/projects/7/take-away/model.onnx").status_code == 409
