"""The classes of a project one by one: those whose name holds a text, and the learning curve of one."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from pt4al_backend.measures import ClassMeasured
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.status import ROUNDS_SHOWN, ProjectStatus
from pt4al_backend.server.words import LabelWords

FOUND_SHOWN = 20
#: Control picks below which a class's measure says little: half of ten right is 24 to 76 %.
FEW_PICKS = 10
LONGEST = 2_000


class NamedClass(ClassMeasured):
    """A class, and the served model on the control picks that have it."""

    key: str = Field(description="what `class` takes: what annotations hold")
    name: str = Field(description="what people read for it")


class FoundClasses(BaseModel):
    """Classes of the control picks whose name or key holds a text, those whose name begins with it first."""

    total: int
    classes: list[NamedClass] = Field(description=f"the first {FOUND_SHOWN}")


class ClassPoint(ClassMeasured):
    """The model of one round on the control picks that had the class when it was trained."""

    round: int
    labels: int = Field(description="labels of all classes that trained it")


class ClassCurve(BaseModel):
    """The learning curve of one class."""

    key: str = Field(description="what annotations hold")
    name: str = Field(description="what people read for it")
    metric: str = Field(description="what is measured: accuracy, which is the class's recall, mAP or mIoU of the class alone")
    points: list[ClassPoint] = Field(description=f"of the last {ROUNDS_SHOWN} rounds; empty if no control pick had the class")

    @property
    def newest(self) -> ClassPoint | None:
        """The point of the newest model that has a value."""
        return next((point for point in reversed(self.points) if point.value is not None), None)


router = APIRouter(tags=["Pages"])
Text = Annotated[str, Query(max_length=LONGEST, description="that the name or key holds, in capitals or not")]
Key = Annotated[str, Query(alias="class", max_length=LONGEST, description="its key")]
OfClass = Annotated[str | None, Query(alias="class", max_length=LONGEST)]


@router.get("/api/projects/{project}/classes", **documented(query=True, not_found=True))
def classes(project: str, services: Served, search: Text = "") -> FoundClasses:
    """The classes that the served model was measured on, by name."""
    wanted, status = search.casefold(), services.statuses.find(project)
    measured, words = status.control.classes, LabelWords(services.project(project))
    named = ((words.of_class(key), key) for key in measured)
    found = sorted(
        (not name.casefold().startswith(wanted), name, key)
        for name, key in named
        if wanted in name.casefold() or wanted in key.casefold()
    )
    shown = [NamedClass(key=key, name=name, **dict(measured[key])) for _, name, key in found[:FOUND_SHOWN]]
    return FoundClasses(total=len(found), classes=shown)


@router.get("/api/projects/{project}/classes/curve", **documented(query=True, not_found=True))
def class_curve(project: str, services: Served, key: Key) -> ClassCurve:
    """The learning curve of one class: each round's model on the control picks that have it."""
    return _curve(services, services.statuses.find(project), key)


def curve_of_class(services: Services, status: ProjectStatus, key: str | None) -> ClassCurve | None:
    """The same, for a page that may show none."""
    return None if key is None else _curve(services, status, key)


def _curve(services: Services, status: ProjectStatus, key: str) -> ClassCurve:
    known: Sequence[tuple[int, int, ClassMeasured]] = services.store.class_history(status.id, key, ROUNDS_SHOWN)
    name = LabelWords(services.project(str(status.id))).of_class(key)
    points = [ClassPoint(round=number, labels=labels, **dict(each)) for number, labels, each in known]
    return ClassCurve(key=key, name=name, metric=status.control.metric, points=points)
