"""The filled project with planted faults, computed by what the worker computes with.

Task ``WRONG`` has the label of another class and nearly the image of ``TWIN``, whose label is right. ``PAIR`` are nearly the same
image as well, and ``COPIES`` are identical. ``MISTAKEN`` control picks were answered with the class "red".
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import quality
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.evaluation import CONTROL_ANSWERS
from pt4al_backend.learn.frozen.feature_file import FeatureFile, path_beside
from pt4al_backend.state.paths import frames_path
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import ENCODER, PROJECT, SIDE, fill
from tests.support.images import CLASSES, class_of

WRONG, TWIN = 20, 23
GIVEN = "red"
PAIR = (50, 110)
COPIES = (111, 112)
MISTAKEN = (4, 10, 16)
DIGEST = "1" * 64
FEATURES = 64
LEARNER = "projects/7/rank-1/result"
MODEL = "projects/7/learn-3/result"


def features_of(count: int) -> NDArray[np.float16]:
    """Features float16 [n, 64] of tasks 1..n: classes lie apart, and no two images of one are alike but the planted ones."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, FEATURES))
    features[np.arange(count), np.arange(1, count + 1) % len(CLASSES)] += 6
    for first, second in ((WRONG, TWIN), PAIR):
        features[second - 1] = features[first - 1] + rng.normal(0, 0.05, FEATURES)
    return features.astype(np.float16)


def fill_judged(
    store: Store,
    settings: ServerSettings,
    count: int = 120,
    *,
    config: str = "",
    answers: Callable[[int], StoredAnswer] | None = None,
    features: Callable[[int], NDArray[np.float16]] = features_of,
) -> None:
    """The filled project with these faults, or another labeling config and other answers, and all that is computed of it."""
    fill(store, settings, count)
    if config:
        store.change(PROJECT, label_config=config, config_read=config)
    store.connect(PROJECT, params={"encoder": ENCODER})
    store.change(PROJECT, learner=LEARNER, model=MODEL)
    given = {task: answers(task) for task in range(1, 92)} if answers else {WRONG: StoredAnswer(AnswerKind.LABEL, GIVEN)}
    store.put_answers(PROJECT, given)
    store.put_digests(PROJECT, dict.fromkeys(COPIES, f"{COPIES[0]:032x}"))
    project = store.project(PROJECT)
    assert project is not None
    frame = (SIDE, SIDE)
    with (
        FrameFile(frames_path(settings, project), frame) as frames,
        FeatureFile(path_beside(frames.path, ENCODER, DIGEST, frame, "upright"), 1, FEATURES) as file,
    ):
        file.write(np.arange(count), features(count)[:, None], frames)
    weights = {"encoder": ENCODER, "sha256": DIGEST, "features": FEATURES}
    with artefacts.writing(settings.data_dir / LEARNER, settings={"encoder": ENCODER}, weights=weights, network={}):
        pass
    picks = store.control_ids(PROJECT)
    measured = picks[picks <= 90]
    with artefacts.writing(settings.data_dir / MODEL) as folder:
        said = np.array(["red" if task in MISTAKEN else class_of(task) for task in measured.tolist()], np.str_)
        np.save(folder / CONTROL_ANSWERS, said)
    np.savez((settings.data_dir / MODEL).parent / "control.npz", rows=measured - 1, labels=said)
    Insights(settings, store, [quality.refresh]).refresh(PROJECT)
