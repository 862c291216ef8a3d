"""How far a phase is."""

import pytest

from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        (Progress(Phase.FETCHING_IMAGES, done=5, total=10), 0.5),
        (Progress(Phase.TRAINING, 3, 10, 5, 10), 0.25),
        (Progress(Phase.TRAINING, 10, 10, 10, 10), 1.0),
        (Progress(Phase.PREPARING, 1, 5), None),
    ],
)
def test_share_counts_the_epochs_before(progress: Progress, share: float | None) -> None:
    assert progress.share == share
