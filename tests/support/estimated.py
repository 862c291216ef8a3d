"""A filled project whose classes are hard to tell apart: its head is right about most images, and knows of which it is unsure."""

import shutil

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import pool_estimate, quality, quality_file
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.learn.frozen.heads import LinearHead
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.filled import PROJECT
from tests.support.images import CLASSES
from tests.support.judged import DIGEST, FEATURES, MODEL, fill_judged

IMAGES = 600


def features_of(count: int) -> NDArray[np.float16]:
    """Features float16 [n, 64] of tasks 1..n: the first say the class, more or less plainly."""
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.1, (count, FEATURES))
    features[np.arange(count), np.arange(1, count + 1) % len(CLASSES)] += rng.uniform(-0.3, 1.5, count)
    return features.astype(np.float16)


def head(sureness: float = 1.0) -> LinearHead:
    """It answers by what says the class, about as sure as heads that have learned a part of the labels if ``sureness`` is 1."""
    return LinearHead(40 * np.eye(len(CLASSES), FEATURES), np.zeros(len(CLASSES)), 10 / sureness)


def fill_estimated(store: Store, settings: ServerSettings, made: LinearHead | None, made_on: str = DIGEST) -> None:
    """The project with this head as its newest model, or with a network, and with all that the worker computes of it.

    ``made_on``: digest of the encoder whose features the head was trained on.
    """
    fill_judged(store, settings, IMAGES, features=features_of)
    with artefacts.writing(settings.data_dir / MODEL, classes=CLASSES, weights={"sha256": made_on}) as folder:
        if made is not None:
            made.save(folder / artefacts.HEAD)
    shutil.rmtree(project_dir(settings, Project(id=PROJECT)) / quality_file.FOLDER)
    Insights(settings, store, [quality.refresh, pool_estimate.refresh]).refresh(PROJECT)
