"""The report: one page for the customer of the labels, to be read, printed, or taken away as PDF."""

import time

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from pt4al_backend.measures import Control
from pt4al_backend.server.panels import quality
from pt4al_backend.server.panels.quality import QualityPanel
from pt4al_backend.server.rendering import page
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.status import ProjectStatus
from pt4al_backend.state.schema import Round

ROUNDS_SHOWN = 12
CLASSES_SHOWN = 20


class Step(BaseModel):
    """What the model of a round had reached."""

    round: int
    labels: int
    control: Control
    at: float | None


router = APIRouter(include_in_schema=False)


@router.get("/projects/{project}/report")
def report(project: str, services: Served) -> Response:
    """What was labelled, how good a model of the labels is, and what is known of their quality."""
    return report_of(services, project)


def report_of(services: Services, project: str) -> Response:
    """The report of the project that an address names, as HTML: what the PDF is made of as well."""
    row = services.project(project)
    status, known = services.statuses.find(project), quality.read(services, row)
    return page(
        "report.html",
        id=row.id,
        project=status,
        quality=known,
        steps=_steps(services.store.rounds(row.id)),
        classes_shown=CLASSES_SHOWN,
        now=time.time(),
        summary=_summary(status, known),
    )


def _steps(rounds: list[Round]) -> list[Step]:
    """The rounds that trained a model, evenly thinned out, the first and the last among them."""
    trained = [each for each in rounds if each.control.value is not None]
    if len(trained) > ROUNDS_SHOWN:
        trained = [trained[place * (len(trained) - 1) // (ROUNDS_SHOWN - 1)] for place in range(ROUNDS_SHOWN)]
    return [Step(round=each.number, labels=each.labels, control=each.control, at=each.closed_at) for each in trained]


def _summary(status: ProjectStatus, found: QualityPanel) -> str:
    """What there is to say in two sentences."""
    labelled, tasks = status.tasks.labelled, status.tasks.tasks
    share = f" ({100 * labelled / tasks:.0f}\N{NO-BREAK SPACE}%)" if tasks else ""
    said = f"{labelled:,} of {tasks:,} images are labelled{share}."
    if found.suspects.of:
        said += f" {found.suspects.total:,} of {found.suspects.of:,} labels that could be judged are worth a second look."
    return said
