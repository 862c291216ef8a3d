"""What is gathered of a model's answers: in the order of the candidates, and no more masks than may be kept."""

from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.config import ProjectSettings
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.learn import evaluation as evaluation_module
from pt4al_backend.learn.evaluation import CONTROL_ANSWERS, Evaluation, sampler_of
from pt4al_backend.learn.labels.class_labels import ClassLabels
from pt4al_backend.learn.networks import EncoderForm, build
from pt4al_backend.learn.tasks.segmentation import Segmentation
from pt4al_backend.query.confidence import SAMPLERS

SHAPE = (32, 32)
CONTROLS, CANDIDATES, MOST = 3, 40, 6


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Segmentation:
    monkeypatch.setattr(Segmentation, "max_answers", MOST)
    form = EncoderForm("mobilenet_v2", "deeplabv3plus")
    return Segmentation(build(form), ("ground", "sun"), SHAPE, ProjectSettings())


@pytest.mark.parametrize("size", [1, 2, 10])
def test_answers_to_control_picks_are_kept_in_their_order(tmp_path: Path, size: int) -> None:
    labels = ClassLabels(("red", "green"))
    evaluation = Evaluation(labels, 4, np.array([0, 1, 0, 1]), 4, 6, "", tmp_path / "masks")
    posteriors = np.stack([np.arange(10) % 3 / 2, 1 - np.arange(10) % 3 / 2], axis=1)
    for start in range(0, 10, size):
        part = np.arange(start, min(start + size, 10))
        evaluation.add(part, (np.zeros((len(part), 4)), posteriors[part]))
    evaluation.save(tmp_path)
    assert np.load(tmp_path / CONTROL_ANSWERS).tolist() == ["green", "red", "red", "green"]


@pytest.mark.parametrize("size", [1, 7, 43])
def test_only_the_least_confident_answers_are_kept(tmp_path: Path, task: Segmentation, size: int) -> None:
    rng = np.random.default_rng(size)
    count = CONTROLS + CANDIDATES
    confidences = rng.random((count, 3))
    confidences[:, 0] = np.linspace(1, 0, count)  # each less confident than all before: all are written, most of them in vain
    masks = rng.integers(0, 2, (count, *SHAPE), dtype=np.uint8)
    masks[-2] = masks[10]  # the same mask as one that is no longer wanted
    truths = masks[:CONTROLS].copy()
    evaluation = Evaluation(task, task.body.features, truths, CONTROLS, CANDIDATES, "least_confidence", tmp_path / "masks")
    for start in range(0, count, size):
        part = np.arange(start, min(start + size, count))
        features = np.zeros((len(part), 1280), np.float32)
        evaluation.add(part, (features, confidences[part], masks[part], np.full((len(part), 2), 0.5)))
        assert len(list((tmp_path / "masks").glob("*"))) <= 2 * MOST + 1
    evaluation.save(tmp_path)

    with np.load(tmp_path / "candidates.npz") as found:
        labels = found["labels"].tolist()
        for k, name in enumerate(SAMPLERS):
            np.testing.assert_array_equal(found[name], confidences[CONTROLS:, k])
    assert labels[:-MOST] == [""] * (CANDIDATES - MOST)
    for label, mask in zip(labels[-MOST:], masks[-MOST:], strict=True):
        kept = MaskFiles(tmp_path / "masks").get(label)
        np.testing.assert_array_equal(kept.ids, mask)
        assert kept.scores == {0: 0.5, 1: 0.5}
    assert len(list((tmp_path / "masks").glob("*"))) == MOST
    assert (evaluation.control_metrics()["value"], evaluation.control_metrics()["total"]) == (1, CONTROLS)


@pytest.mark.parametrize(("subset", "kept"), [(CANDIDATES, CANDIDATES), (10, 10), (2, MOST)])
def test_without_a_sampler_every_candidate_of_a_subset_keeps_its_answer(
    tmp_path: Path, task: Segmentation, monkeypatch: pytest.MonkeyPatch, subset: int, kept: int
) -> None:
    monkeypatch.setattr(evaluation_module, "SUBSET", subset)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (CANDIDATES, *SHAPE), dtype=np.uint8)
    by = sampler_of(ProjectSettings(strategy="vaal"))
    evaluation = Evaluation(task, task.body.features, masks[:0], 0, CANDIDATES, by, tmp_path / "masks")
    rows = (np.zeros((CANDIDATES, 1280), np.float32), rng.random((CANDIDATES, 3)), masks, np.full((CANDIDATES, 2), 0.5))
    evaluation.add(np.arange(CANDIDATES), rows)
    evaluation.save(tmp_path)
    with np.load(tmp_path / "candidates.npz") as found:
        assert np.count_nonzero(found["labels"] != "") == kept


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"sampler": "least_confidence"}, "least_confidence"),
        ({"sampler": "margin"}, "margin"),
        ({"sampler": "k_center"}, ""),
        ({"sampler": "normalised_confidence"}, ""),
        ({"strategy": "entropy", "sampler": "margin"}, "entropy"),
        ({"strategy": "core_gcn"}, ""),
    ],
)
def test_sampler_is_the_one_that_the_strategy_chooses_by(settings: dict[str, str], name: str) -> None:
    assert sampler_of(ProjectSettings(**settings)) == name
