"""The work of each kind of job."""

from typing import Any

from pt4al_backend.jobs.answer import answer
from pt4al_backend.jobs.compare import compare
from pt4al_backend.jobs.layout import lay_out
from pt4al_backend.jobs.learn import learn
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.rank import rank
from pt4al_backend.jobs.shards.worker import work_through
from pt4al_backend.jobs.spec import AnswerSpec, CompareSpec, LayoutSpec, ModelSpec, RankSpec, ShardsSpec
from pt4al_backend.progress import Report


def work(job: NetworkJob[Any], report: Report) -> None:
    """Does a job in this process: its artefact is there afterwards.

    Raises:
        TrainingImpossible: the job cannot be done.
        StoreCorrupt: what it needs is damaged.
    """
    match job.spec:
        case RankSpec():
            rank(job, report)
        case ModelSpec():
            learn(job, report)
        case LayoutSpec():
            lay_out(job, report)
        case CompareSpec():
            compare(job, report)
        case AnswerSpec():
            answer(job, report)
        case ShardsSpec():
            work_through(job, report)
