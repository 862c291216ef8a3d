"""The nearest labelled images."""

import numpy as np

from pt4al_backend.analysis.nearest_labelled import nearest


def test_nearest_is_the_most_alike_of_all_blocks_and_never_the_image_itself() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(50, 8)), rng.normal(size=(6, 8))
    asked[0], asked[1] = known[7], known[31] + 0.01
    itself = np.array([7, -1, -1, -1, -1, -1])
    places, cosines = nearest(asked, (known[start : start + 20] for start in (0, 20, 40)), itself, np.zeros(8))
    wanted = (asked @ known.T) / np.linalg.norm(asked, axis=1)[:, None] / np.linalg.norm(known, axis=1)
    wanted[0, 7] = -np.inf
    assert places.tolist() == wanted.argmax(1).tolist()
    assert np.allclose(cosines, wanted.max(1), atol=1e-5)
    assert places[1] == 31


def test_image_that_is_alone_has_no_neighbour() -> None:
    places, _ = nearest(np.ones((1, 3)), iter([np.ones((1, 3))]), np.array([0]), np.zeros(3))
    assert places.tolist() == [-1]
    assert nearest(np.ones((2, 3)), iter(()), np.array([-1, -1]), np.zeros(3))[0].tolist() == [-1, -1]
