"""Works through the shards that nobody else holds, until all are done."""

import os
import time
from contextlib import nullcontext

from pt4al_backend.errors import StoreCorrupt, TrainingImpossible
from pt4al_backend.images.sources import source_of
from pt4al_backend.jobs.manifest import Manifest
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.shards import work_folder
from pt4al_backend.jobs.shards.describe import describe
from pt4al_backend.jobs.shards.folder import WorkFolder, shard_name
from pt4al_backend.jobs.shards.plan import Plan
from pt4al_backend.jobs.spec import ShardsSpec
from pt4al_backend.learn import peers
from pt4al_backend.learn.devices import share_cores
from pt4al_backend.learn.networks import TimmEncoder
from pt4al_backend.learn.weights.pretrained import give
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report


def work_through(job: NetworkJob[ShardsSpec], report: Report) -> None:
    """Describes the images of shards until all are done, whoever did them; what others hold is waited for.

    Progress is that of the shard under way. The result holds nothing: shards go to the work folder.

    Raises:
        TrainingImpossible: there are no weights of the encoder, or others than the plan's.
        BucketUnavailable: the images' store fails or refuses.
        StoreAway: the work folder's does.
    """
    share_cores(job.spec.workers)
    with job.scratch() as scratch:
        work = work_folder(job.spec.place, scratch)
        plan = work.plan()
        if plan is None:
            raise StoreCorrupt(f"{work.place} holds no plan.", "Run the command again.")
        encoder = _encoder(job, plan, work.place, report)
        while (number := _next(work, plan, encoder, job, report)) is not None:
            if number < 0:
                time.sleep(work.seconds)
                report(Progress(Phase.FEATURES))
    if peers.number() == 0:
        with Manifest(fingerprint=job.fingerprint, kind="shards").writing(job.result):
            pass


def _next(work: WorkFolder, plan: Plan, encoder: TimmEncoder, job: NetworkJob[ShardsSpec], report: Report) -> int | None:
    """Does one shard, and returns its number; -1 if others hold all that are left, None if none is."""
    left = peers.agreed(sorted(set(range(plan.shards)) - work.done(plan)))
    start = peers.agreed(os.getpid() % max(len(left), 1))  # not all at the same one
    for number in left[start:] + left[:start]:
        with work.claimed(shard_name(number)) if peers.number() == 0 else nullcontext(False) as is_ours:
            if not peers.agreed(is_ours and number not in work.done(plan)):
                continue
            images = work.images(plan, number)
            source = source_of([name for name, _ in images], plan.root)
            shard = describe(plan, source, images, encoder, job.device, report)
            if peers.number() == 0:
                work.require(plan)
                if number not in work.done(plan):  # another one did it while this one was stopped
                    work.put(plan, number, shard)
            return number
    return -1 if left else None


def _encoder(job: NetworkJob[ShardsSpec], plan: Plan, place: str, report: Report) -> TimmEncoder:
    """The encoder of a plan that lies at ``place``, with its weights."""

    def note(text: str) -> None:
        if job.spec.tells:
            report(Progress(Phase.PREPARING, note=text))

    encoder = job.body()
    if not isinstance(encoder, TimmEncoder):
        raise TypeError(f"{type(encoder).__name__} is no frozen encoder")
    given = give(encoder, job.spec.weights, job.spec.pretrained, note)
    if given.sha256 != plan.sha256:
        raise TrainingImpossible(
            f"The ranking was begun with weights of {plan.encoder} whose SHA-256 begins with {plan.sha256[:8]}; here are those "
            f"that begin with {given.sha256[:8]}.",
            f"Put the same file in the folder that PT4AL_WEIGHTS_DIR names, on all hosts; or delete {place} to start over.",
        )
    return encoder.to(job.device)
