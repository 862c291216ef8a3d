"""A project's frames and features in the artefact store: a host that has them shares them, one that lacks them gets them there.

What the store does not have, each host fetches or computes itself, as without one.
"""

import hashlib
import json
import time

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.during_jobs import keep_serving
from pt4al_backend.engine.project_jobs import ProjectJobs
from pt4al_backend.engine.sharing.row_marks import HERE, SHARED, Mark
from pt4al_backend.errors import ConfigError, StoreAway
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.image_vectors import ImageVectors
from pt4al_backend.jobs.object_store import ObjectStore
from pt4al_backend.jobs.shared_rows import SharedRows
from pt4al_backend.learn.frozen.feature_file import FeatureFile, blocks
from pt4al_backend.state.paths import frames_path, rows_in_store

TURN_SECONDS = 60.0  # of uploading or downloading in one look; the next one goes on


def share_rows(ctx: Context) -> Outcome:
    """Shares the frames and features of this host, after getting the features that others have computed.

    Raises:
        StoreCorrupt: a frame is damaged.
    """
    shared, path = ctx.resources.shared, frames_path(ctx.settings, ctx.project)
    if shared is None or not ctx.project.stored_shape or not path.is_file():
        return Outcome.DONE
    try:
        with FrameFile(path, ctx.project.stored_shape) as frames:
            _share_frames(ctx, shared.store, frames)
            _exchange_features(ctx, shared.store, frames)
    except (ConfigError, StoreAway) as error:
        ctx.warn(error)
        ctx.notice("store", str(error))
    return Outcome.DONE


def _share_frames(ctx: Context, store: ObjectStore, frames: FrameFile) -> None:
    mark, end = Mark(frames.path, SHARED), ctx.project.next_row
    first = mark.read()
    if first >= end:
        return
    remote = SharedRows(store, f"{rows_in_store(ctx.project)}/{frames.path.name}", frames)
    _, rows = ctx.store.rows(ctx.project.id, remote.block_of(first))
    if (rows >= frames.rows).any() or (frames.sums(rows) == 0).any():
        return  # this host lacks some
    mark.write(remote.share(rows, first, end, lambda: keep_serving(ctx), TURN_SECONDS))


def _exchange_features(ctx: Context, store: ObjectStore, frames: FrameFile) -> None:
    jobs, end = ProjectJobs.of(ctx), ctx.project.next_row
    vectors = ImageVectors.of(jobs.layout(), check=False)
    if vectors is None or ctx.store.has_unranked(ctx.project.id):
        return
    here, there = Mark(vectors.path, HERE), Mark(vectors.path, SHARED)
    if min(here.read(), there.read()) >= end:
        return
    name, rows = _name_of(vectors), np.sort(jobs.fetched().rows)
    with vectors.file() as file:
        remote = SharedRows(store, f"{rows_in_store(ctx.project)}/{name}", file.records)
        missing = _missing(file, rows, frames)
        deadline = time.monotonic() + TURN_SECONDS
        if len(missing):
            for contents in remote.bring(missing, lambda: keep_serving(ctx)):
                for row, record in contents.items():
                    file.records.write(row, record)
                file.flush()
                if time.monotonic() > deadline:
                    return
            missing = _missing(file, missing, frames)
        if len(missing):
            return  # nobody has shared them yet; the next job computes what it needs of them
        here.write(end)
        first = there.read()
        there.write(remote.share(rows[rows >= remote.block_of(first)], first, end, lambda: keep_serving(ctx), TURN_SECONDS))
    for each in store.below(rows_in_store(ctx.project)):
        if each not in (frames.path.name, name):  # of another size of frames, or another encoder
            store.delete(f"{rows_in_store(ctx.project)}/{each}")


def _missing(file: FeatureFile, rows: NDArray[np.int64], frames: FrameFile) -> NDArray[np.int64]:
    return np.concatenate([rows[:0], *(file.missing(block, frames) for block in blocks(rows))])


def _name_of(vectors: ImageVectors) -> str:
    """What tells these features from others of the project."""
    text = json.dumps([vectors.path.name, vectors.by, vectors.source.facts()], sort_keys=True)
    return f"features-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
