"""Answers images that came after a model was trained, with that model."""

import time

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.learn import evaluate
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import AnswerSpec
from pt4al_backend.learn import saved
from pt4al_backend.progress import Report


def answer(job: NetworkJob[AnswerSpec], report: Report) -> None:
    """Answers the images in ``candidates.npy`` as the training of the model would have, had they been there.

    Writes ``result/``, which has of these what ``learn`` writes of its candidates.

    Raises:
        StoreCorrupt: the model or the frame file is damaged.
    """
    start = time.monotonic()
    task = saved.load_model(job.spec.model).task
    none = np.empty(0, np.int64)
    with FrameFile(job.spec.frames, job.spec.stored) as frames, job.scratch() as scratch:
        unmeasured = task.targets([], None, scratch)
        evaluation = evaluate(job, task, frames, (none, unmeasured), none, scratch / "masks", report)
        seconds, images = {"score": time.monotonic() - start}, evaluation.candidates.stop
        facts = {"fingerprint": job.fingerprint, "kind": "answers", "seconds": seconds, "images": images}
        with artefacts.writing(job.result, **facts) as folder:
            evaluation.save(folder)
