"""Next in the queue: the open round's picks in the order served, each with a picture, its reason, and the model's answer."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from pt4al_backend.engine.insights.nearest import Nearest
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.rendering import panel
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.words import LabelWords, task_address
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.queue import QueuedTask, QueueFilter
from pt4al_backend.state.schema import AnswerKind, Project

PER_PAGE = 60

#: Why a pick is in the queue, for people.
REASONS = {
    PickKind.PERSON: "Person's choice",
    PickKind.QUERY: "Query",
    PickKind.CONTROL: "Control pick",
    PickKind.RESERVE: "Reserve",
}

PENDING = "The nearest labelled images are looked for in the background, once a round is open."


class Neighbour(BaseModel):
    """The labelled image that is most like another one."""

    task: int
    label: str
    similarity: float = Field(description="cosine of their features, less the pool's mean")
    address: str | None = Field(description="where Label Studio shows it; null if its address is not known")


class NextTask(BaseModel):
    """One task of the queue."""

    task: int
    kind: PickKind = Field(description="why it is there: `query`, `control`, `reserve` or `person`")
    batch: int = Field(description="PT4AL's batch of it; 0 before the ranking")
    predicted: str | None = Field(description="the model's answer; null if there is none, and for control picks")
    confidence: float | None = Field(description="how sure the model is of it")
    answer: AnswerKind = Field(description="what annotators did with it: `none`, `label` or `skip`")
    label: str | None = Field(description="their label")
    has_picture: bool = Field(description="whether its image is stored")
    is_aside: bool = Field(description="whether its image cannot be used")
    address: str | None = Field(description="where Label Studio shows it; null if its address is not known")
    neighbour: Neighbour | None = Field(description="the labelled image most like it; null if not known, and for control picks")


class ClassCount(BaseModel):
    """Picks that the model gives the same answer for."""

    value: str = Field(description="what `class` takes")
    name: str
    tasks: int


class NextUp(BaseModel):
    """A part of the queue."""

    round: int
    total: int = Field(description="picks of the round that the filter lets through")
    page: int
    pages: int
    batches: dict[int, int] = Field(description="picks of the round by batch")
    classes: list[ClassCount] = Field(description="picks of the round by the model's answer; empty for masks")
    tasks: list[NextTask]
    without_neighbours: str = Field(description="why no neighbours are shown; empty if they are")


router = APIRouter(tags=["Pages"])
NO_NULL = "^[^\\x00]*$"  # which PostgreSQL takes in no text
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description=f"of {PER_PAGE} tasks each")]
OfBatch = Annotated[int | None, Query(ge=0, le=1_000_000, description="only tasks of this batch")]
OfClass = Annotated[
    str | None, Query(alias="class", max_length=2_000, pattern=NO_NULL, description="only tasks that the model takes for this")
]


@router.get("/api/projects/{project}/next", **documented(query=True, not_found=True))
def next_up(project: str, services: Served, page: PageNumber = 1, batch: OfBatch = None, of_class: OfClass = None) -> NextUp:
    """The open round's picks in the order served."""
    return _read(services, services.project(project), page, QueueFilter(batch, of_class))


@router.get("/projects/{project}/next", include_in_schema=False)
def next_page(project: str, services: Served, page: PageNumber = 1, batch: OfBatch = None, of_class: OfClass = None) -> Response:
    """The same for people."""
    wanted = QueueFilter(batch, of_class)
    queue = _read(services, services.project(project), page, wanted)
    status = services.statuses.find(project)
    return panel("next", "next.html", status, queue=queue, wanted=wanted, reasons=REASONS, address=_address, per_page=PER_PAGE)


def _address(page: int = 1, batch: int | None = None, predicted: str | None = None) -> str:
    """The part of the page's address that says what is shown."""
    chosen = {"page": page if page > 1 else None, "batch": batch, "class": predicted}
    return "?" + urlencode({name: value for name, value in chosen.items() if value is not None})


def _read(services: Services, project: Project, page: int, wanted: QueueFilter) -> NextUp:
    words = LabelWords(project)
    counts = services.store.queue_counts(project.id, project.round)
    batches, classes = Counter[int](), Counter[str]()
    for (batch, predicted), count in counts.items():
        batches[batch] += count
        if predicted and words.has_classes:
            classes[predicted] += count
    total = sum(count for each, count in counts.items() if wanted.admits(each))
    part = services.store.queue_part(project.id, project.round, wanted, (page - 1) * PER_PAGE, PER_PAGE)
    neighbours, without = _neighbours(services, project, words, part)
    return NextUp(
        round=project.round,
        total=total,
        page=page,
        pages=max(1, -(-total // PER_PAGE)),
        batches=dict(sorted(batches.items())),
        classes=[ClassCount(value=text, name=words.of(text) or "", tasks=count) for text, count in classes.most_common()],
        tasks=[_task(each, words, project, neighbours.get(each.task)) for each in part],
        without_neighbours=without,
    )


def _neighbours(
    services: Services, project: Project, words: LabelWords, part: Sequence[QueuedTask]
) -> tuple[dict[int, Neighbour], str]:
    """The neighbours of a part of the queue, by task, with the labels that they have now; or why there are none."""
    known = Nearest.load(project_dir(services.backend.settings, project))
    if known is None:
        return {}, PENDING
    near = known.of([each.task for each in part if each.kind != PickKind.CONTROL])
    answers = services.store.answers(project.id, list({task for task, _ in near.values()}))
    found = {}
    for asked, (task, cosine) in near.items():
        label = words.of(answers[task].label) if task in answers else None  # it may have been withdrawn since
        if label is not None:
            address = task_address(project, task)
            found[asked] = Neighbour(task=task, label=label, similarity=cosine, address=address)
    return found, known.facts.missing


def _task(each: QueuedTask, words: LabelWords, project: Project, neighbour: Neighbour | None) -> NextTask:
    return NextTask(
        task=each.task,
        kind=each.kind,
        batch=each.batch,
        predicted=words.of(each.predicted),
        confidence=each.confidence,
        answer=each.answer,
        label=words.of(each.label),
        has_picture=each.has_frame,
        is_aside=each.is_aside,
        address=task_address(project, each.task),
        neighbour=neighbour,
    )
