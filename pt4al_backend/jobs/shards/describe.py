"""What an encoder sees in the images of a shard, which are read, decoded and forgotten."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frames import digest
from pt4al_backend.images.source_frames import Bounds, SourceFrame
from pt4al_backend.images.sources import Source
from pt4al_backend.jobs.shards.plan import Plan
from pt4al_backend.jobs.shards.shard import DIGEST_BYTES, Notes, Shard
from pt4al_backend.learn import peers
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.devices import cores
from pt4al_backend.learn.evaluation import to_float16
from pt4al_backend.learn.inference import infer, scoring_size
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import TimmEncoder, pooled
from pt4al_backend.learn.pretext.rotation import VIEWS, rotations
from pt4al_backend.learn.stored_images import channels_first
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Report

AHEAD = 3  # minibatches that are read while the encoder works at one, so that a slow image does not hold it up


class _Images:
    """Images of a source as an encoder sees them, read in threads ahead of it; ``found`` is what became of them."""

    def __init__(self, plan: Plan, source: Source, listed: Sequence[tuple[str, str]], pool: ThreadPoolExecutor) -> None:
        self._plan, self._source, self._listed, self._pool = plan, source, listed, pool
        self._bounds, self._centre = Bounds(plan.max_bytes, plan.max_pixels), Centre(plan.shape)
        self._waiting: dict[int, Future[SourceFrame]] = {}
        self.marks: dict[int, str] = {}
        self.failed: dict[int, SourceFrame] = {}
        self.changed: list[int] = []

    def __len__(self) -> int:
        return len(self._listed)

    def minibatch(self, positions: NDArray[np.int64], _: np.random.Generator) -> Minibatch:
        """As ``Data`` says; black where an image cannot be read."""
        frames = np.zeros((len(positions), *self._plan.stored, 3), np.uint8)
        self._begin(positions.tolist())
        for place, position in enumerate(positions.tolist()):
            found = self._waiting.pop(position).result()
            if found.frame is None:
                self.failed[position] = found
            else:
                frames[place] = found.frame
                self.marks[position] = digest(found.frame)
                if self._source.has_changed(self._listed[position][1], found.version):
                    self.changed.append(position)
        return (channels_first(self._centre(frames)),)

    def _begin(self, positions: list[int]) -> None:
        """Begins to read these images, and the next ones if they are this process's as well."""
        last = positions[-1] + 1
        ahead = range(last, min(last + AHEAD * len(positions), len(self))) if peers.count() == 1 else ()
        for position in (*positions, *ahead):
            if position not in self._waiting:
                plan = self._plan
                self._waiting[position] = self._pool.submit(
                    self._bounds.frame_of, self._source, self._listed[position][0], plan.task, plan.stored
                )


def describe(
    plan: Plan, source: Source, listed: Sequence[tuple[str, str]], encoder: TimmEncoder, device: torch.device, report: Report
) -> Shard:
    """The shard of images that were ``listed``: names and versions.

    Those that their store did not give are asked for once more, if it can be reached.

    Raises:
        BucketUnavailable: the store fails or refuses.
        TrainingImpossible: the encoder gives features that are no finite numbers.
    """
    features = np.zeros((len(listed), VIEWS, encoder.features), np.float16)
    frames = np.zeros((len(listed), DIGEST_BYTES), np.uint8)
    problems: dict[int, str] = {}
    changed: set[int] = set()
    rows = np.arange(len(listed))
    with _threads(source) as pool:
        for is_last in (False, True):
            images = _Images(plan, source, [listed[row] for row in rows.tolist()], pool)
            _features(images, rows, features, encoder, plan, device, report)
            failed = {k: each for part in peers.gathered(images.failed) for k, each in part.items()}
            for part in peers.gathered(images.marks):
                for position, mark in part.items():
                    frames[rows[position]] = np.frombuffer(bytes.fromhex(mark), np.uint8)
            changed |= {int(rows[position]) for part in peers.gathered(images.changed) for position in part}
            again = [position for position, each in sorted(failed.items()) if each.transient and not is_last]
            problems |= {int(rows[position]): each.problem for position, each in failed.items()}
            if not again:
                break
            source.require_reachable()
            rows = rows[again]
            for row in rows.tolist():
                del problems[row]
    features[sorted(problems)] = 0
    return Shard(features, frames, Notes(problems=problems, changed=sorted(changed)))


def _features(
    images: _Images,
    rows: NDArray[np.int64],
    features: NDArray[np.float16],
    encoder: TimmEncoder,
    plan: Plan,
    device: torch.device,
    report: Report,
) -> None:
    """Computes the features of images into ``rows`` of all."""

    def predict(seen: Tensor) -> tuple[Tensor, ...]:
        return (pooled(encoder(rotations(seen))).view(VIEWS, len(seen), -1).transpose(0, 1),)

    def take(positions: NDArray[np.int64], found: tuple[NDArray[Any], ...]) -> None:
        if not np.isfinite(found[0]).all():
            raise TrainingImpossible(
                f"The encoder {plan.encoder!r} gives features that are no finite numbers.",
                "Check the file of its weights, or set PT4AL_ENCODER to another.",
            )
        features[rows[positions]] = to_float16(found[0])

    size = scoring_size(device, plan.shape, VIEWS)
    infer(encoder, predict, images, size, take, device=device, phase=Phase.FEATURES, report=report)


@contextmanager
def _threads(source: Source) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(source.threads or cores(), thread_name_prefix="read")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
