"""A project on the features of a pretrained encoder: what they cost once, and what a round costs then."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from pt4al_backend.bench.numbers.life import Life
from pt4al_backend.bench.numbers.scoring import line, place, stored, times, whole
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.turnaround import IMPORT, START, TRAIN, other_parts
from pt4al_backend.bench.numbers.workbench import ENCODER, Workbench
from pt4al_backend.config import server_settings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.frozen.features import Features
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.networks import LEAST_SIDE_FROZEN, TimmEncoder, TimmForm
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.weights.pretrained import give
from pt4al_backend.progress import silent
from pt4al_backend.query.strategies import Sizes
from pt4al_backend.query.strategies.herding import herd

BOUND_SECONDS = 2.0
HEAD_SECONDS = 1.0
SIDE, SHARE = 64, 0.25
TASKS, LABELS, CLASSES, FEATURES, PICKS = 10_000, 400, 100, 1_280, 20
REPEATS = 5
ONCE = "images fetched, and five passes of the encoder"


def measure(bench: Workbench) -> list[Line]:
    """Features against the bare forward pass; a head and a query by themselves; then a whole project on features."""
    return [_features(bench), *_round(), *_life(bench.on_features)]


def _features(bench: Workbench) -> Line:
    device, shape, frame = place("classification", SIDE)
    settings, encoder = server_settings(), TimmEncoder(TimmForm(ENCODER, least_side=LEAST_SIDE_FROZEN))
    digest = give(encoder, settings.weights_dir, settings.pretrained, lambda _: None).sha256
    together = scoring_size(device, shape, 1)
    count = whole(bench, SHARE, together)
    rows, began = np.arange(count), time.time_ns()
    with FrameFile(stored(bench, frame, count), frame) as frames:
        images = StoredImages(frames, rows, Centre(shape))
        views = [
            part
            for (part,) in (
                images.minibatch(part, np.random.default_rng(0)) for part in np.split(rows, range(together, count, together))
            )
        ]

        def describe() -> None:
            nonlocal began
            began += 1  # other weights, as far as the file knows: everything is missing
            Features(encoder, f"{began:x}"[::-1] + digest, frames, shape, device, silent).upright(rows)

        product, bare = times(describe, encoder, views, device)
    return line(f"features of {ENCODER} at {shape[0]} px", count, product, bare, "written to the disk")


def _round() -> list[Line]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(TASKS, FEATURES)).astype(np.float16)
    targets = np.arange(LABELS) % CLASSES

    def head() -> None:
        standard = Standard.of(features)
        LinearHead.fit(standard(features[:LABELS]), targets, CLASSES, standard).logits(features)

    def query() -> None:
        herd(features[LABELS:].astype(np.float32), features[:LABELS].astype(np.float32), weights, Sizes(PICKS, PICKS), rng)

    weights = rng.random(TASKS - LABELS).astype(np.float32)
    sizes = f"{FEATURES:,} features, median of {REPEATS}"
    return [
        Line(
            f"a head of {CLASSES} classes, {LABELS} labels: trained, and {TASKS:,} tasks scored",
            _median(head),
            "s",
            HEAD_SECONDS,
            note=sizes,
        ),
        Line(f"herding {PICKS} of {TASKS - LABELS:,} tasks", _median(query), "s", note=sizes),
    ]


def _median(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)


def _life(life: Life) -> list[Line]:
    turn = life.turn
    where, parts = f"at {life.tasks:,} tasks, on features", other_parts(turn)
    whole_turn = turn.live - turn.labelled
    return [
        Line(
            f"first query {where}: since the backend was connected",
            life.seconds_to_first_query,
            "s",
            note="images fetched, five passes of the encoder",
        ),
        Line(
            f"turnaround {where}: last label to new order",
            whole_turn,
            "s",
            BOUND_SECONDS,
            note=f"rounds of {life.extra_params['query_size']}",
        ),
        Line("— head trained", parts[TRAIN], "s"),
        Line(f"— {IMPORT}", parts[IMPORT], "s"),
        Line("— until it began", parts[START] + turn.prepared - turn.labelled, "s"),
        Line(f"peak memory of the worker {where}", life.memory["worker"] / 1e6, "MB"),
    ]
