"""What a project can be taken away as."""

import csv
import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.artefacts import HEAD
from pt4al_backend.config import ServerSettings
from pt4al_backend.config.catalog import NO_ENCODER_YET
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.learn.frozen.heads import LinearHead
from pt4al_backend.measures import Control
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support import judged
from tests.support.encoders import ENCODER
from tests.support.filled import CLASSES, PROJECT, fill
from tests.support.judged import COPIES, MODEL, fill_judged
from tests.support.web_client import Client

ADDRESS = f"/api/projects/{PROJECT}/take-away"


def rows(client: Client, table: str) -> list[dict[str, str]]:
    answer = client.get(f"{ADDRESS}/{table}.csv")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == f'attachment; filename="project-{PROJECT}-{table}.csv"'
    return list(csv.DictReader(StringIO(answer.text, newline="")))


def test_ranking_has_the_hardest_first(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    found = rows(client, "ranking")
    assert [int(row["task"]) for row in found] == list(range(1, 121))
    assert [int(row["rank"]) for row in found] == list(range(1, 121))
    assert float(found[0]["loss"]) == 1.0
    assert {row["batch"] for row in found} == {"1", "2"}


def test_splits_say_what_each_task_is_for(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    store.put_answers(PROJECT, {2: StoredAnswer(AnswerKind.SKIP), 3: StoredAnswer(AnswerKind.LABEL, "green")})
    store.set_tasks(PROJECT, {"id": [120], "problem": ["damaged"]})
    found = {int(row["task"]): row for row in rows(client, "splits")}
    assert len(found) == 120
    splits = {task: found[task]["split"] for task in (1, 2, 3, 92, 100, 120)}
    assert splits == {1: "control", 2: "skipped", 3: "train", 92: "control", 100: "unlabelled", 120: "set aside"}
    assert (found[3]["label"], found[2]["label"], found[100]["label"]) == ("green", "", "")
    assert [found[task]["same_as"] for task in COPIES] == [str(COPIES[0])] * 2


def test_predictions_are_the_last_good_model_s_while_another_trains(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    fill_judged(store, settings)
    weights = np.zeros((3, judged.FEATURES))
    weights[[0, 1, 2], [0, 1, 2]] = 10
    with_head = settings.data_dir / MODEL
    manifest = json.loads((with_head / "manifest.json").read_text())
    LinearHead(weights, np.zeros(3)).save(with_head / HEAD)
    manifest |= {"task": "classification", "classes": ["red", "green", "blue"], "files": {}}
    manifest |= {"weights": {"sha256": judged.DIGEST}}
    (with_head / "manifest.json").write_text(json.dumps(manifest))
    (with_head.parent.parent / "learn-4").mkdir()
    found = rows(client, "predictions")
    assert len(found) == 120
    answers = {int(row["task"]): row["answer"] for row in found}
    right = sum(answers[task] == ("red", "green", "blue")[task % 3] for task in answers)
    assert right > 110
    assert all(0 <= float(row["confidence"]) <= 1 for row in found)


def test_predictions_of_a_network_leave_out_tasks_that_were_deleted(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    fill_judged(store, settings)
    result = settings.data_dir / MODEL
    np.savez(result / "candidates.npz", labels=np.array(["red", "blue"]), least_confidence=np.array([0.9, 0.25]))
    np.save(result.parent / "candidate_ids.npy", np.array([100, 101]))
    np.save(result.parent / "candidates.npy", np.array([0, 1]))
    store.drop_tasks(PROJECT, [101])
    assert [(row["task"], row["answer"]) for row in rows(client, "predictions")] == [("100", "red")]


def test_features_are_those_of_the_encoder(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    found = rows(client, "features")
    assert len(found) == 120
    wanted = judged.features_of(120)[4].astype(np.float32)
    got = np.array([float(found[4][f"features_{number}"]) for number in range(judged.FEATURES)])
    assert found[4]["task"] == "5"
    assert got == pytest.approx(wanted)


def test_looking_for_features_makes_no_file(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    folder = project_dir(settings, Project(id=PROJECT))
    for path in folder.glob("*.f16*"):
        path.unlink()
    before = sorted(folder.iterdir())
    assert "no features" in client.get(f"{ADDRESS}/features.csv").json()["error"]
    assert sorted(folder.iterdir()) == before


def test_parquet_holds_what_csv_holds(client: Client, store: Store, settings: ServerSettings) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    fill_judged(store, settings)
    for table in ("ranking", "splits", "features"):
        content = client.get(f"{ADDRESS}/{table}.parquet").content
        assert parquet.read_table(pyarrow.BufferReader(content)).num_rows == 120


def test_history_has_every_round_and_no_address(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    answer = client.get(f"{ADDRESS}/history.json")
    found = answer.json()
    assert [each["number"] for each in found["rounds"]] == [1, 2, 3, 4]
    assert found["rounds"][2]["control"]["value"] == pytest.approx(0.8)
    assert found["title"] == "Arrows"
    assert "label-studio.example" not in answer.text


@pytest.mark.parametrize(
    ("params", "chosen", "said"), [({}, NO_ENCODER_YET, ""), ({}, ENCODER, ENCODER), ({"encoder": ENCODER}, "", ENCODER)]
)
def test_history_names_the_pretrained_encoder(
    client: Client,
    store: Store,
    settings: ServerSettings,
    monkeypatch: pytest.MonkeyPatch,
    params: dict[str, str],
    chosen: str,
    said: str,
) -> None:
    monkeypatch.delenv("PT4AL_ENCODER")
    fill(store, settings)
    store.change(PROJECT, params=params, encoder=chosen)
    assert client.get(f"{ADDRESS}/history.json").json()["encoder"] == said


def test_what_is_not_there_yet_is_said(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    store.change(PROJECT, model="")
    store.clear_tasks(PROJECT, loss=None)
    for table, words in (("predictions", "no model yet"), ("ranking", "not ranked yet"), ("features", "no features")):
        answer = client.get(f"{ADDRESS}/{table}.csv")
        assert answer.status_code == 409
        assert words in answer.json()["error"]
        assert answer.json()["remedy"]


def test_model_that_another_host_trained_is_fetched_or_said_to_be_missing(
    connect_client: Callable[..., Client], store: Store, settings: ServerSettings, tmp_path: Path
) -> None:
    fill_judged(store, settings)
    shutil.rmtree(settings.data_dir / MODEL, ignore_errors=True)
    client = connect_client(artefacts_url=f"file://{tmp_path}/store")
    for path in ("model.zip", "predictions.csv"):
        answer = client.get(f"{ADDRESS}/{path}")
        assert answer.status_code == 409
        assert "trained by another host" in answer.json()["error"]
        assert "that host's worker" in answer.json()["remedy"]
    job = (tmp_path / "other" / MODEL).parent
    with artefacts.writing(job) as folder:
        (folder / "job.json").write_text("{}")
    with artefacts.writing(job / "result", classes=CLASSES, train_size=3, control=Control().model_dump()) as folder:
        (folder / artefacts.WEIGHTS).write_bytes(b"weights")
    SharedJobs(f"file://{tmp_path}/store", tmp_path / "other").push(str(Path(MODEL).parent))
    assert client.get(f"{ADDRESS}/model.zip").status_code == 200


@pytest.mark.parametrize("name", ["nothing.csv", "ranking.xls", "ranking", "..%2fstate.sqlite3", "history.csv"])
def test_other_files_are_none(client: Client, store: Store, settings: ServerSettings, name: str) -> None:
    fill(store, settings)
    assert client.get(f"{ADDRESS}/{name}").status_code in (400, 404)


def test_labels_that_look_like_formulas_are_texts(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    store.put_answers(PROJECT, {3: StoredAnswer(AnswerKind.LABEL, "=cmd|' /C calc'!A0")})
    assert {int(row["task"]): row["label"] for row in rows(client, "splits")}[3].startswith("'=")


def test_page_links_every_file(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    text = client.page(f"/projects/{PROJECT}/take-away").text
    for table in ("ranking", "splits", "predictions", "features"):
        for form in ("csv", "parquet"):
            assert f'href="{ADDRESS}/{table}.{form}"' in text
    assert client.get("/api/projects/99/take-away/ranking.csv").status_code == 404


def test_report_says_what_was_labelled_and_how_good_a_model_is(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    store.change(PROJECT, title="<b>Arrows</b>")
    text = " ".join(client.page(f"/projects/{PROJECT}/report").text.split())
    assert "91 of 120 images are labelled (76 %)." in text
    assert "80.0 %" in text
    assert "(62.7 % to 90.5 %)" in text
    assert "in 1 of them labels contradict each other" in text
    assert "&lt;b&gt;Arrows" in text
    assert "<b>Arrows" not in text


def test_report_of_a_project_that_has_nothing_stands(client: Client, store: Store, settings: ServerSettings) -> None:
    store.connect(PROJECT, title="Empty")
    text = client.page(f"/projects/{PROJECT}/report").text
    assert "0 of 0 images are labelled." in text
