"""What PT4AL costs over random picks where heads are trained on a pretrained encoder's features.

Random picks need each image's features once and a head in every round, as PT4AL does. Beside them PT4AL needs four passes of the
encoder over turned images, the pretext losses of these, and a query by herding in every round.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench.numbers.pictures import CLASSES
from pt4al_backend.bench.numbers.scoring import place, stored, whole
from pt4al_backend.bench.numbers.stopwatch import seconds_of
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import ENCODER, Workbench
from pt4al_backend.config import project_settings, server_settings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.frozen.features import Features
from pt4al_backend.learn.frozen.heads import LinearHead, Standard, warm_up
from pt4al_backend.learn.frozen.rotation_head import cross_fitted
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.networks import LEAST_SIDE_FROZEN, TimmEncoder, TimmForm
from pt4al_backend.learn.weights.pretrained import give
from pt4al_backend.progress import silent
from pt4al_backend.query.plan import fit_schedule
from pt4al_backend.query.strategies import Sizes
from pt4al_backend.query.strategies.herding import herd

#: Of what random picks take, beside the passes.
BOUND_PERCENT = 10.0
SIDE, SHARE = 64, 0.5


@dataclass
class Spent:
    """Seconds of one run. Random picks take the one pass and the heads as well."""

    one_pass: float
    turned_passes: float
    losses: float
    heads: float = 0.0
    herding: float = 0.0

    @property
    def random(self) -> float:
        """What random picks take."""
        return self.one_pass + self.heads


def measure(bench: Workbench) -> list[Line]:
    """What PT4AL needs beside the passes as a share of what random picks take, and all that either takes."""
    device, shape, frame = place("classification", SIDE)
    settings, encoder = server_settings(), TimmEncoder(TimmForm(ENCODER, least_side=LEAST_SIDE_FROZEN))
    digest = give(encoder, settings.weights_dir, settings.pretrained, lambda _: None).sha256
    rows = np.arange(whole(bench, SHARE, scoring_size(device, shape, 1)))
    warm_up()
    with FrameFile(stored(bench, frame, len(rows)), frame) as frames:
        features = Features(encoder, digest, frames, shape, device, silent)
        features.compute_upright(rows[:1])  # warms up
        spent = Spent(
            seconds_of(partial(features.compute_upright, rows)),
            seconds_of(partial(features.compute_turned, rows)),
            seconds_of(partial(cross_fitted, rows, features.turned, np.random.default_rng(0))),
        )
        upright = features.upright(rows)
    rounds = _rounds(upright, spent)
    over = 100 * (spent.losses + spent.herding) / spent.random
    what = f"PT4AL's extra cost over random picks on features, {len(rows):,} images of {shape[0]} px"
    return [
        Line(f"{what}: beside the passes, of random's time", over, "%", BOUND_PERCENT, note=f"{rounds} rounds by default"),
        Line("— four passes of the encoder over turned images", spent.turned_passes, "s"),
        Line("— their pretext losses", spent.losses, "s"),
        Line("— herding", spent.herding, "s"),
        Line("— against the one pass that random picks need", spent.one_pass, "s"),
        Line("— and the rounds' heads", spent.heads, "s"),
    ]


def _rounds(features: NDArray[np.float16], spent: Spent) -> int:
    """Trains and queries round by round, at the default sizes; adds what that takes, and returns how many rounds there were."""
    schedule, rng = fit_schedule(len(features), project_settings({"encoder": ENCODER})), np.random.default_rng(0)
    order = rng.permutation(len(features))
    weights = rng.random(len(features)).astype(np.float32)
    for number in range(1, schedule.rounds + 1):
        known, left = np.split(order, [number * (schedule.query - schedule.control)])

        def head(known: NDArray[np.int64] = known) -> None:
            standard = Standard.of(features)
            LinearHead.fit(standard(features[known]), known % len(CLASSES), len(CLASSES), standard).logits(features)

        sizes = Sizes(schedule.query, schedule.query + schedule.reserve)
        candidates, covered = (features[some].astype(np.float32) for some in (left, known))
        spent.heads += seconds_of(head)
        spent.herding += seconds_of(partial(herd, candidates, covered, weights[left], sizes, rng))
    return schedule.rounds
