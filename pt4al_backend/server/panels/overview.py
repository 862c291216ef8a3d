"""The overview: where a project is, whether it is worth going on, what was labelled when and by whom."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from pt4al_backend.analysis import advice as advices
from pt4al_backend.analysis import pace
from pt4al_backend.analysis.forecast import Forecast
from pt4al_backend.analysis.learning_curve import Point, curve
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.panels.classes import FEW_PICKS, NamedClass, OfClass, curve_of_class
from pt4al_backend.server.rendering import page, panel
from pt4al_backend.server.services import Served
from pt4al_backend.server.status import ProjectStatus
from pt4al_backend.server.words import LabelWords
from pt4al_backend.state.store import Store

PACE_DAYS = 7
ANNOTATORS_SHOWN = 50
CLASSES_SHOWN = 100
EXPECTED_SHOWN = 25
AHEAD = 3  # times the labels there are: that far the forecast is drawn


class CurvePoint(BaseModel):
    """The model of one round on the control picks that there were when it was trained."""

    round: int
    labels: int = Field(description="that trained it")
    value: float
    low: float = Field(description="of the 95 % interval")
    high: float
    picks: int = Field(description="control picks that measured it; those of earlier rounds are among them")


class Expected(BaseModel):
    """What the forecast expects of a model of so many labels."""

    labels: int
    value: float
    low: float = Field(description="of the 95 % interval")
    high: float


class Price(BaseModel):
    """How many more labels add a gain. Null stands for more than all the images that are left."""

    gain: float = Field(description="of the measure, such as 0.03")
    labels: float | None
    low: float | None = Field(description="of the 95 % interval")
    high: float | None
    sentence: str


class Gain(BaseModel):
    """What more labels would add to the measure."""

    labels: int
    value: float
    low: float = Field(description="of the 95 % interval")
    high: float
    chance: float = Field(description=f"how likely that is {advices.LEAST_GAIN} or more")


class Advice(BaseModel):
    """Whether it is worth going on, and why."""

    verdict: advices.Verdict
    sentence: str
    gain: Gain | None
    halved_by: int = Field(description="control picks that would halve the interval of what is measured; 0 if nothing is")


class Annotator(BaseModel):
    """What one user of Label Studio has done."""

    annotator: int | None = Field(description="Label Studio's number of the user; null if it names none")
    today: int
    labels: int
    skips: int
    per_hour: float | None = Field(description=f"labels per hour of labelling, over the last {PACE_DAYS} days")
    last_at: float


class Hour(BaseModel):
    """An hour, and what was labelled in it."""

    at: float
    labels: int


class Labelling(BaseModel):
    """Annotations by time and by annotator; skips are not labels. What was imported counts when it was."""

    today: int
    today_since: float = Field(description="midnight where the viewer is")
    annotations: int = Field(description="labels in all; several of one task count each")
    per_hour: float | None = Field(description=f"of all annotators together, in hours of labelling, over {PACE_DAYS} days")
    hours: list[Hour] = Field(description=f"the last {pace.HOURS_SHOWN} hours")
    annotators: list[Annotator] = Field(description=f"the {ANNOTATORS_SHOWN} with the most labels")
    annotators_total: int


class ClassMeasure(NamedClass):
    """The same, and the model before."""

    before: float | None = Field(description="of the model that was measured before; null if there is none")


class Overview(BaseModel):
    """A project at a glance, beside what /api/projects/{project} says of it. Times are seconds since 1970 in UTC."""

    id: int
    metric: str = Field(description="what the curve is of: accuracy, mAP or mIoU")
    curve: list[CurvePoint]
    expected: list[Expected] = Field(description="the forecast's curve, from the labels there are; empty without a model")
    price: Price | None
    classes: list[ClassMeasure] = Field(description=f"the {CLASSES_SHOWN} with the lowest measure")
    classes_total: int = Field(description="classes that control picks have")
    classes_absent: int = Field(description="classes that are measured, but no control pick has them")
    advice: Advice
    labelling: Labelling
    round_seconds: float | None = Field(description="until the open round is answered, at the pace of these days")

    @property
    def charts(self) -> str:
        """What the page's charts show, as JSON: the page carries it, so that what is shown is computed once."""
        return self.model_dump_json(include={"metric": True, "curve": True, "expected": True, "labelling": {"hours"}})


UtcOffset = Annotated[
    int, Query(ge=-14 * 60, le=14 * 60, multiple_of=15, description="minutes by which the viewer's clock is ahead")
]

router = APIRouter()


@router.get("/api/projects/{project}/overview", tags=["Pages"], **documented(query=True, not_found=True))
def overview(project: str, services: Served, utc_offset: UtcOffset = 0) -> Overview:
    """The learning curve with its forecast and the stop advice, and labels by time and by annotator."""
    return services.reader(Overviews).of(services.statuses.find(project), utc_offset)


@router.get("/projects/{project}", include_in_schema=False)
def overview_page(project: str, services: Served, of_class: OfClass = None) -> Response:
    """The overview as a page, with the learning curve of one class beside that of all if it is named."""
    status = services.statuses.find(project)
    chosen = curve_of_class(services, status, of_class)
    return panel("", "overview.html", status, overview=services.reader(Overviews).of(status), chosen=chosen, few=FEW_PICKS)


@router.get("/projects/{project}/status", include_in_schema=False)
def overview_part(project: str, services: Served, utc_offset: UtcOffset = 0, of_class: OfClass = None) -> Response:
    """The part of the page that changes."""
    status = services.statuses.find(project)
    overview, chosen = services.reader(Overviews).of(status, utc_offset), curve_of_class(services, status, of_class)
    return page("status.html", id=status.id, project=status, overview=overview, chosen=chosen, few=FEW_PICKS)


class Overviews:
    """Overviews of all projects. Safe to share between threads.

    Args:
        store: the state.
        clock: seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._lock = Lock()
        self._counted: dict[int, _Counted] = {}

    def of(self, status: ProjectStatus, utc_offset: int = 0) -> Overview:
        """The overview of a project, for somebody whose clock is that many minutes ahead of UTC."""
        points = curve(Point.of(each.number, each.labels, each.control, each.control.total) for each in status.history)
        unlabelled = max(status.tasks.pool - status.tasks.labelled - status.tasks.skipped, 0)
        forecast = forecast_of(points) if points else None
        advice = advices.advise(points, forecast, status.control.metric, unlabelled)
        labelling = self._labelling(status.id, utc_offset)
        waits = status.labels_missing if labelling.per_hour else 0
        return Overview(
            id=status.id,
            metric=status.control.metric,
            curve=[CurvePoint(**vars(point)) for point in points],
            expected=_expected(forecast, unlabelled) if forecast else [],
            price=_price(forecast, unlabelled) if forecast and unlabelled else None,
            classes=self._classes(status, points),
            classes_total=sum(each.value is not None for each in status.control.classes.values()),
            classes_absent=sum(each.value is None for each in status.control.classes.values()),
            advice=_advice(advice),
            labelling=labelling,
            round_seconds=3600 * waits / labelling.per_hour if waits and labelling.per_hour else None,
        )

    def _classes(self, status: ProjectStatus, points: Sequence[Point]) -> list[ClassMeasure]:
        """Those that the served model does worst, with what the model before made of them: before a full one, the newest head."""
        there = [(each.value, key, each) for key, each in status.control.classes.items() if each.value is not None]
        rounds = [point.round for point in points][: None if status.served.kind == "full" else -1]
        earlier = self._store.round(status.id, rounds[-1]) if there and rounds else None
        before = earlier.control.classes if earlier else {}
        worst = sorted(there, key=lambda each: each[:2])[:CLASSES_SHOWN]
        project = self._store.project(status.id) if worst else None
        words = LabelWords(project) if project else None
        return [
            ClassMeasure(
                key=key,
                name=words.of_class(key) if words else key,
                before=before[key].value if key in before else None,
                **dict(each),
            )
            for _, key, each in worst
        ]

    def _labelling(self, project_id: int, utc_offset: int) -> Labelling:
        """Counts again when annotations were taken over, and every minute."""
        project, now = self._store.project(project_id), self._clock()
        mark = (project.synced_until, project.full_sync_at, now // 60) if project else None
        with self._lock:
            known = self._counted.get(project_id)
        if known is None or known.mark != mark:
            begin = (now - PACE_DAYS * 86_400) // pace.QUARTER * pace.QUARTER
            known = _Counted(mark, self._store.labels_since(project_id, begin), self._store.annotators(project_id))
            there = set(self._store.project_ids())
            with self._lock:
                self._counted[project_id] = known
                for forgotten in self._counted.keys() - there:
                    del self._counted[forgotten]
        return known.labelling(now, utc_offset)


@dataclass(frozen=True)
class _Counted:
    """What was counted of one project's annotations, and the mark of the state that it is of."""

    mark: object
    quarters: Sequence[pace.Count]
    annotators: Sequence[tuple[int | None, int, int, int]]

    def labelling(self, now: float, utc_offset: int) -> Labelling:
        begun = pace.midnight(now, utc_offset)
        own: dict[int | None, list[pace.Count]] = {}
        for count in self.quarters:
            own.setdefault(count[0], []).append(count)
        return Labelling(
            today=pace.since(self.quarters, begun),
            today_since=begun,
            annotations=sum(labels for _, labels, _, _ in self.annotators),
            per_hour=pace.per_hour(self.quarters),
            hours=[Hour(at=at, labels=labels) for at, labels in pace.by_hour(self.quarters, now)],
            annotators=[
                Annotator(
                    annotator=annotator,
                    today=pace.since(own.get(annotator, []), begun),
                    labels=labels,
                    skips=skips,
                    per_hour=pace.per_hour(own.get(annotator, [])),
                    last_at=last_at,
                )
                for annotator, labels, skips, last_at in self.annotators[:ANNOTATORS_SHOWN]
            ],
            annotators_total=len(self.annotators),
        )


@lru_cache(maxsize=8)
def forecast_of(points: tuple[Point, ...]) -> Forecast:
    """The forecast of a learning curve, which changes once a round."""
    return Forecast(points)


def _expected(forecast: Forecast, unlabelled: int) -> list[Expected]:
    """The forecast's curve from the labels there are to ``AHEAD`` times more, or to the end of the pool."""
    last = forecast.labels + min(AHEAD * forecast.labels, unlabelled)
    steps = range(EXPECTED_SHOWN)
    ratio = last / forecast.labels
    labels = dict.fromkeys(round(forecast.labels * ratio ** (step / (EXPECTED_SHOWN - 1))) for step in steps)
    found = ((each, forecast.at(each)) for each in labels)
    return [Expected(labels=each, value=at.middle, low=at.low, high=at.high) for each, at in found]


def _price(forecast: Forecast, unlabelled: int) -> Price:
    gain, needed = advices.price(forecast)

    def reachable(labels: float) -> float | None:
        return labels if math.isfinite(labels) and labels <= unlabelled else None

    sentence = advices.price_sentence(gain, needed, unlabelled)
    low, middle, high = map(reachable, (needed.low, needed.middle, needed.high))
    return Price(gain=gain, labels=middle, low=low, high=high, sentence=sentence)


def _advice(found: advices.Advice) -> Advice:
    gain = None
    if found.gain is not None and found.chance is not None:
        told = found.gain
        gain = Gain(labels=found.more, value=told.middle, low=told.low, high=told.high, chance=found.chance)
    return Advice(verdict=found.verdict, sentence=found.sentence, gain=gain, halved_by=found.halved_by)
