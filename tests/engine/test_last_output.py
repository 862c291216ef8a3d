"""What is left of a model's output when its files are gone, and what a strategy gets of it."""

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.rounds import last_output
from pt4al_backend.query.confidence import SAMPLERS
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.store import Store
from tests.support.trainings import known, ten_tasks


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    yield from ten_tasks(settings)


def output(store: Store, settings: ServerSettings, **params: Any) -> StoredOutput:
    return last_output(settings, known(store), ProjectSettings(**params))


def test_model_without_its_files_has_scored_nothing(store: Store, settings: ServerSettings) -> None:
    folder = settings.data_dir / "projects" / "1" / "learn-1"
    with artefacts.writing(folder / "result", classes=["red", "green"]) as draft:
        scores = {name: np.array([0.75]) for name in SAMPLERS}
        np.savez(draft / "candidates.npz", labels=np.array(["green"]), **scores)
    np.save(folder / "candidate_ids.npy", np.array([7], np.int64))
    store.change(1, model="projects/1/learn-1/result")
    found = output(store, settings)
    assert (found.ids.tolist(), found.labels.tolist(), found.confidences["margin"].tolist()) == ([7], ["green"], [0.75])
    for damage in (b"", b"damaged", (folder / "result" / "candidates.npz").read_bytes()[:-40]):
        (folder / "result" / "candidates.npz").write_bytes(damage)
        assert not len(output(store, settings).ids)
    shutil.rmtree(folder)
    assert not len(output(store, settings).ids)


def test_features_and_posteriors_come_with_the_scores(store: Store, settings: ServerSettings) -> None:
    folder = settings.data_dir / "projects" / "1" / "learn-1"
    kept = {"features": np.ones((2, 3)), "labelled": np.zeros((4, 3)), "posteriors": np.full((2, 2), 0.5)}
    with artefacts.writing(folder / "result") as draft:
        np.savez(draft / "candidates.npz", labels=np.array(["", ""]), **{name: np.full(2, 0.5) for name in SAMPLERS})
        for name, rows in kept.items():
            np.save(draft / f"{name}.npy", rows.astype(np.float16))
    np.save(folder / "candidate_ids.npy", np.array([7, 8], np.int64))
    store.change(1, model="projects/1/learn-1/result")
    found = output(store, settings)
    for name, rows in kept.items():
        np.testing.assert_array_equal(getattr(found, name), rows)


def test_features_of_the_learner_are_used_before_the_first_model(store: Store, settings: ServerSettings) -> None:
    folder = settings.data_dir / "projects" / "1" / "rank-1"
    with artefacts.writing(folder / "result") as draft:
        np.save(draft / "features.npy", np.ones((2, 3), np.float16))
    np.save(folder / "ids.npy", np.array([7, 8], np.int64))
    assert not len(output(store, settings, strategy="typiclust").ids)  # nothing is ranked
    store.change(1, learner="projects/1/rank-1/result")
    found = output(store, settings, strategy="typiclust")
    assert found.features is not None
    assert (found.ids.tolist(), found.features.tolist(), found.confidences) == ([7, 8], [[1, 1, 1]] * 2, {})
    assert not len(output(store, settings, strategy="core_set").ids)
    (folder / "result" / "features.npy").write_bytes(b"damaged")
    assert not len(output(store, settings, strategy="typiclust").ids)
    (folder / "result" / "features.npy").unlink()  # it was ranked for another strategy
    assert not len(output(store, settings, strategy="typiclust").ids)
