"""Which epoch's weights a training of the benchmark ends with; what of it a run shows is tested with the oracle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.jobs.learn import learn
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.progress import silent
from tests.support.pools import ARROWS, training_data
from tests.support.spoilt import spoilt

pytestmark = pytest.mark.slow

EPOCHS = 4


@pytest.mark.parametrize("companion", ["learning_loss", "ta_vaal"])
def test_companion_scores_with_its_best_epoch(tmp_path: Path, companion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its module would score a body that it was not trained with."""
    store, settings = ARROWS.store(tmp_path / "pixels", 32), {"epochs": EPOCHS, "companion_steps": 2}

    def confidences(name: str) -> NDArray[Any]:
        more = {"companion": companion, "query_size": 2, "best_epoch": True, "settings": settings}
        folder = training_data(tmp_path / name, store, np.arange(12), np.arange(12, 32), **more)
        learn(NetworkJob.read(folder), silent)
        with np.load(folder / "result" / "candidates.npz") as arrays:
            found: NDArray[Any] = arrays[companion]
        return found

    whole = confidences("whole")
    monkeypatch.setattr("pt4al_backend.jobs.learn.BestEpoch", spoilt(EPOCHS))
    assert np.array_equal(confidences("spoilt"), whole)
