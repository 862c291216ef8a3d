"""Inference: every image's scores, in order, whatever memory does."""

import numpy as np
import pytest
import torch

from pt4al_backend.learn.inference import score
from tests.support.objectives import Points, Sum

pytestmark = pytest.mark.training

CPU = torch.device("cpu")


def test_scores_keep_the_datas_order_when_memory_runs_out() -> None:
    objective, data = Sum(), Points(25)
    scores = score(objective, data, 8, device=CPU)
    assert scores.shape == (25, 1)
    np.testing.assert_array_equal(score(Sum(room=4), data, 16, device=CPU), score(objective, data, 4, device=CPU))
    np.testing.assert_allclose(score(objective, data, 4, device=CPU), scores, rtol=1e-5)


def test_scoring_no_images_gives_no_rows() -> None:
    assert score(Sum(), Points(0), 8, device=CPU).shape == (0, 1)
