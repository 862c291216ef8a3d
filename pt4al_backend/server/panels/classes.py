"""The classes of a project one by one: those whose name holds a text, and the learning curve of one."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from pt4al_backend.measures import ClassMeasured
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.status import ROUNDS_SHOWN, ProjectStatus

FOUND_SHOWN = 20
#: Control picks below which a class's measure says little: half of ten right is 24 to 76 %.
FEW_PICKS = 10
LONGEST = 2_000


class FoundClass(ClassMeasured):
    """A class, and the served model on the control picks that have it."""

    name: str


class FoundClasses(BaseModel):
    """Classes of the control picks whose name holds a text, those that begin with it first."""

    total: int
    classes: list[FoundClass] = Field(description=f"the first {FOUND_SHOWN}")


class ClassPoint(ClassMeasured):
    """The model of one round on the control picks that had the class when it was trained."""

    round: int
    labels: int = Field(description="labels of all classes that trained it")


class ClassCurve(BaseModel):
    """The learning curve of one class."""

    name: str
    metric: str = Field(description="what is measured: accuracy, which is the class's recall, mAP or mIoU of the class alone")
    points: list[ClassPoint] = Field(description=f"of the last {ROUNDS_SHOWN} rounds; empty if no control pick had the class")

    @property
    def newest(self) -> ClassPoint | None:
        """The point of the newest model that has a value."""
        return next((point for point in reversed(self.points) if point.value is not None), None)


router = APIRouter(tags=["Pages"])
Text = Annotated[str, Query(max_length=LONGEST, description="that the name holds, in capitals or not")]
Name = Annotated[str, Query(alias="class", max_length=LONGEST, description="its name")]
OfClass = Annotated[str | None, Query(alias="class", max_length=LONGEST)]


@router.get("/api/projects/{project}/classes", **documented(query=True, not_found=True))
def classes(project: str, services: Served, search: Text = "") -> FoundClasses:
    """The classes that the served model was measured on, by name."""
    wanted, measured = search.casefold(), services.statuses.find(project).control.classes
    found = sorted((not name.casefold().startswith(wanted), name) for name in measured if wanted in name.casefold())
    shown = [FoundClass(name=name, **dict(measured[name])) for _, name in found[:FOUND_SHOWN]]
    return FoundClasses(total=len(found), classes=shown)


@router.get("/api/projects/{project}/classes/curve", **documented(query=True, not_found=True))
def class_curve(project: str, services: Served, name: Name) -> ClassCurve:
    """The learning curve of one class: each round's model on the control picks that have it."""
    return _curve(services, services.statuses.find(project), name)


def curve_of_class(services: Services, status: ProjectStatus, name: str | None) -> ClassCurve | None:
    """The same, for a page that may show none."""
    return None if name is None else _curve(services, status, name)


def _curve(services: Services, status: ProjectStatus, name: str) -> ClassCurve:
    known: Sequence[tuple[int, int, ClassMeasured]] = services.store.class_history(status.id, name, ROUNDS_SHOWN)
    points = [ClassPoint(round=number, labels=labels, **dict(each)) for number, labels, each in known]
    return ClassCurve(name=name, metric=status.control.metric, points=points)
