"""Answers images that came after a model was trained, with that model."""

import time

import numpy as np

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.learn import evaluate
from pt4al_backend.jobs.manifest import AnswersManifest
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.results import Answers, read_later
from pt4al_backend.jobs.spec import AnswerSpec
from pt4al_backend.learn import saved
from pt4al_backend.progress import Report


def answer(job: NetworkJob[AnswerSpec], report: Report) -> None:
    """Answers the images in ``candidates.npy`` as the training of the model would have, had they been there.

    Writes ``result/``, which holds the answers of the job before as well, so that the last one's has all.

    Raises:
        StoreCorrupt: the model, the frame file or the result of the job before is damaged.
    """
    start = time.monotonic()
    task = saved.load_model(job.spec.model).task
    none = np.empty(0, np.int64)
    with FrameFile(job.spec.frames, job.spec.stored) as frames, job.scratch() as scratch:
        unmeasured = task.targets([], None, scratch)
        evaluation = evaluate(job, task, frames, (none, unmeasured), none, scratch / "masks", report)
    confidences, labels, _ = evaluation.outputs()
    found = Answers(job.rows("candidate_ids.npy"), job.rows("candidates.npy"), labels, confidences["least_confidence"])
    given = len(found.ids)
    if job.spec.previous is not None:
        found = read_later(job.spec.previous).with_later(found)
        given += AnswersManifest.read(job.spec.previous).images
    seconds = {"score": time.monotonic() - start}
    with AnswersManifest(fingerprint=job.fingerprint, seconds=seconds, images=given).writing(job.result) as folder:
        found.save(folder)
