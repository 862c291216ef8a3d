"""Quality: suspected label errors, near-duplicates, what the model takes for what, class balance, and tasks set aside."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from pt4al_backend.analysis.confusion import Pairs
from pt4al_backend.engine.insights.quality_file import Grouped, Labels, Quality
from pt4al_backend.learn.labels import intervals
from pt4al_backend.measures import Measured
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.rendering import panel
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.words import LabelWords, task_address
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import AnswerKind, Project

PER_PAGE = 24
GROUPS_PER_PAGE = 10
#: Tasks of a group, of a reason, and of a cell that are shown; classes of a table; mistakes; rows of the balance.
MEMBERS, EXAMPLES, IN_CELL, IN_TABLE, MISTAKES, BALANCED = 12, 12, 120, 20, 20, 100
#: Control picks whose annotators are compared.
ANNOTATED = 2_000
#: Tasks set aside that are read for their reasons.
ASIDE_READ = 1_000


class By(StrEnum):
    """Which answers of a model are compared with labels."""

    CONTROL = "control"  # those of the served model to the control picks
    FOLDS = "folds"  # those of cross-validation to all labels


class ShownTask(BaseModel):
    """One task."""

    task: int
    label: str | None = Field(description="what annotators say now; null if nothing")
    address: str | None = Field(description="where Label Studio shows it; null if its address is not known")


class Suspect(ShownTask):
    """One suspected label error."""

    judged: str = Field(description="the label that was judged")
    answer: str = Field(description="the answer of a model that has not seen this label")
    confidence: float = Field(description="how sure it is of that")
    self_confidence: float = Field(description="how probable it finds the label; the lowest come first")
    is_changed: bool = Field(description="whether the label has changed since")


class Suspects(BaseModel):
    """Labels that differ from the answer of models that have not seen them."""

    total: int
    of: int = Field(description="labels that were judged")
    page: int
    pages: int
    tasks: list[Suspect]
    missing: str = Field(description="why there are none; empty if labels were judged")


class GroupedTask(ShownTask):
    """One task of a group."""

    similarity: float = Field(description="cosine of its features to the nearest in the group; 1 if identical")


class Group(BaseModel):
    """Images that are nearly the same."""

    size: int
    contradicts: bool = Field(description="whether their labels contradict each other")
    tasks: list[GroupedTask] = Field(description=f"the first {MEMBERS}")


class Groups(BaseModel):
    """Identical images and near-duplicates. Groups whose labels contradict each other come first, then the largest."""

    total: int
    contradicting: int
    compared: int = Field(description="images whose features were compared")
    page: int
    pages: int
    groups: list[Group]
    missing: str = Field(description="why there are only identical images; empty if features were compared")


class Label(BaseModel):
    """A label, or a model's answer."""

    value: str = Field(description="what `label` and `answer` take: what annotations hold")
    name: str = Field(description="what people read for it")


class Mistake(BaseModel):
    """A label that the model takes for another one."""

    label: Label
    answer: Label
    tasks: int


class Confusion(BaseModel):
    """Labels against answers of a model."""

    total: int
    agreement: Measured = Field(description="the share that agrees, with its 95 % interval")
    classes: list[Label] = Field(description=f"those with the most mistakes, at most {IN_TABLE}")
    left_out: int = Field(description="classes that occur and are not among these")
    table: list[list[int]] = Field(description="a row for each label, a column for each answer")
    mistakes: list[Mistake] = Field(description="the most frequent")
    missing: str = Field(description="why there is nothing to compare; empty if there is")


class AnnotatorAgreement(BaseModel):
    """How often one annotator and the served model agree on control picks that nobody else has annotated."""

    annotator: int | None = Field(description="Label Studio's number of the user; null if it names none")
    total: int
    agreement: Measured = Field(description="the share that agrees, with its 95 % interval")


class ClassBalance(BaseModel):
    """How often a class was given."""

    name: str
    labels: int
    control: int = Field(description="of these, labels of control picks")
    share: Measured = Field(description="of the pool, estimated from control picks, which are drawn uniformly")


class Reason(BaseModel):
    """Why tasks are set aside; names and numbers in it are those of the first."""

    reason: str
    tasks: int
    first: list[int]


class Aside(BaseModel):
    """Tasks whose image or annotations cannot be used."""

    total: int
    read: int = Field(description=f"of these, how many are sorted by reason: at most {ASIDE_READ}")
    reasons: list[Reason]


class QualityPanel(BaseModel):
    """What is known of the labels and images of a project. All but ``aside`` is as of ``at``."""

    at: float | None = Field(description="when it was computed, seconds since 1970; null: not yet")
    round: int = Field(description="whose labels it is about")
    suspects: Suspects
    duplicates: Groups
    control: Confusion
    annotators: list[AnnotatorAgreement] = Field(description=f"on the newest {ANNOTATED} control picks, the most labels first")
    folds: Confusion
    balance: list[ClassBalance] = Field(description=f"the {BALANCED} most frequent classes")
    classes: int = Field(description="classes that the labeling config has")
    aside: Aside


class Cell(BaseModel):
    """The tasks with one label that a model gives one answer for."""

    label: Label
    answer: Label
    total: int
    tasks: list[ShownTask] = Field(description=f"the first {IN_CELL}")


router = APIRouter(tags=["Pages"])
PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description=f"of the suspects, {PER_PAGE} each")]
GroupPage = Annotated[int, Query(ge=1, le=1_000_000, description=f"of the groups, {GROUPS_PER_PAGE} each")]
Named = Annotated[str, Query(max_length=20_000)]


@router.get("/api/projects/{project}/quality", **documented(query=True, not_found=True))
def quality(project: str, services: Served, page: PageNumber = 1, groups: GroupPage = 1) -> QualityPanel:
    """Suspected label errors, near-duplicates, confusion, class balance, and tasks set aside."""
    return read(services, services.project(project), page, groups)


@router.get("/projects/{project}/quality", include_in_schema=False)
def quality_page(project: str, services: Served, page: PageNumber = 1, groups: GroupPage = 1) -> Response:
    """The same for people."""
    found = read(services, services.project(project), page, groups)
    return panel("quality", "quality.html", services.statuses.find(project), quality=found, by=By)


@router.get("/api/projects/{project}/quality/tasks", **documented(query=True, not_found=True))
def cell(project: str, services: Served, by: By, label: Named, answer: Named) -> Cell:
    """The tasks behind a cell of a confusion matrix: those with this label that the model answers so."""
    return _cell(services, services.project(project), by, label, answer)


@router.get("/projects/{project}/quality/tasks", include_in_schema=False)
def cell_page(project: str, services: Served, by: By, label: Named, answer: Named) -> Response:
    """The same for people."""
    found = _cell(services, services.project(project), by, label, answer)
    status = services.statuses.find(project)
    return panel("quality", "quality_tasks.html", status, cell=found, by=by)


def read(services: Services, project: Project, page: int = 1, group_page: int = 1) -> QualityPanel:
    """What was computed of a project's quality last, with the labels of now; a page of the suspects, and one of the groups."""
    known = Quality.load(project_dir(services.backend.settings, project))
    found = known or Quality()
    reader = _Reader(services, project, found)
    pending = "" if known else "Not computed yet: the worker does so after the first ranking and after every training."
    return QualityPanel(
        at=found.facts.at if known else None,
        round=found.facts.round,
        suspects=reader.suspects(page, pending),
        duplicates=reader.groups(group_page, pending),
        control=reader.confusion(found.control, pending or found.facts.without_control),
        annotators=reader.annotators(),
        folds=reader.confusion(found.judged, pending or found.facts.without_judgement),
        balance=reader.balance(),
        classes=len(found.classes),
        aside=_aside(services, project),
    )


def _cell(services: Services, project: Project, by: By, label: str, answer: str) -> Cell:
    found = Quality.load(project_dir(services.backend.settings, project)) or Quality()
    compared = found.control if by is By.CONTROL else found.judged
    reader = _Reader(services, project, found)
    there = np.flatnonzero((compared.labels == reader.number(label)) & (compared.answers == reader.number(answer)))
    tasks = reader.tasks(compared.ids[there[:IN_CELL]].tolist())
    return Cell(label=reader.label(label), answer=reader.label(answer), total=len(there), tasks=tasks)


class _Reader:
    """Turns what was computed into what is shown, with the labels of now; reads no more tasks than are shown."""

    def __init__(self, services: Services, project: Project, found: Quality) -> None:
        self._store, self._project, self._found = services.store, project, found
        self._words = LabelWords(project)
        self._values = found.facts.names

    def _labels(self, ids: Sequence[int]) -> Mapping[int, str]:
        """The labels of tasks, as the state keeps them."""
        found = self._store.answers(self._project.id, ids)
        return {task: each.label for task, each in found.items() if each.answer == AnswerKind.LABEL}

    def _shown(self, task: int, labels: Mapping[int, str]) -> dict[str, object]:
        return {"task": task, "label": self._words.of(labels.get(task, "")), "address": task_address(self._project, task)}

    def number(self, value: str) -> int:
        """The number of a label; -1 if there is no such label."""
        return self._values.index(value) if value in self._values else -1

    def label(self, value: str) -> Label:
        """A label as it is shown."""
        return Label(value=value, name=self._words.of(value) or value)

    def tasks(self, ids: Sequence[int]) -> list[ShownTask]:
        """Tasks as they are shown."""
        labels = self._labels(ids)
        return [ShownTask.model_validate(self._shown(task, labels)) for task in ids]

    def suspects(self, page: int, pending: str) -> Suspects:
        """A page of the suspects."""
        judged, facts = self._found.judged, self._found.facts
        places = range(facts.suspects)[(page - 1) * PER_PAGE : page * PER_PAGE]
        ids = judged.ids[places.start : places.stop].tolist()
        labels = self._labels(ids)
        return Suspects(
            total=facts.suspects,
            of=len(judged),
            page=page,
            pages=max(1, -(-facts.suspects // PER_PAGE)),
            tasks=[self._suspect(place, task, labels) for place, task in zip(places, ids, strict=True)],
            missing=pending or facts.without_judgement,
        )

    def _suspect(self, place: int, task: int, labels: Mapping[int, str]) -> Suspect:
        judged, value = self._found.judged, self._values[self._found.judged.labels[place]]
        return Suspect.model_validate(
            {
                **self._shown(task, labels),
                "judged": self.label(value).name,
                "answer": self.label(self._values[judged.answers[place]]).name,
                "confidence": float(judged.confidence[place]),
                "self_confidence": float(judged.self_confidence[place]),
                "is_changed": labels.get(task) != value,
            }
        )

    def groups(self, page: int, pending: str) -> Groups:
        """A page of the groups."""
        grouped, facts = self._found.grouped, self._found.facts
        first, end = (page - 1) * GROUPS_PER_PAGE, min(page * GROUPS_PER_PAGE, grouped.count)
        members = {number: grouped.of(number, number + 1) for number in range(first, end)}
        labels = self._labels([task for each in members.values() for task in each.ids[:MEMBERS].tolist()])
        return Groups(
            total=grouped.count,
            contradicting=facts.contradicting,
            compared=facts.compared,
            page=page,
            pages=max(1, -(-grouped.count // GROUPS_PER_PAGE)),
            groups=[self._group(each, number, labels) for number, each in members.items()],
            missing=pending or facts.without_comparison,
        )

    def _group(self, members: Grouped, number: int, labels: Mapping[int, str]) -> Group:
        ids = members.ids[:MEMBERS].tolist()
        return Group(
            size=len(members.ids),
            contradicts=number < self._found.facts.contradicting,
            tasks=[
                GroupedTask.model_validate({**self._shown(task, labels), "similarity": float(cosine)})
                for task, cosine in zip(ids, members.cosines, strict=False)
            ],
        )

    def confusion(self, compared: Labels, missing: str) -> Confusion:
        """Labels against answers."""
        found = compared.pairs
        classes = found.worst(IN_TABLE)
        right = (compared.labels == compared.answers).astype(np.int64)
        return Confusion(
            total=len(compared),
            agreement=Measured.model_validate(intervals.share(right)),
            classes=[self.label(self._values[number]) for number in classes],
            left_out=len(np.union1d(found.labels, found.answers)) - len(classes),
            table=found.table(classes).tolist(),
            mistakes=self._mistakes(found),
            missing=missing,
        )

    def _mistakes(self, found: Pairs) -> list[Mistake]:
        worst = found.mistakes[:MISTAKES].tolist()
        sides = (found.labels, found.answers)
        named = [[self.label(self._values[side[k]]) for side in sides] for k in worst]
        return [Mistake(label=of, answer=to, tasks=int(found.counts[k])) for k, (of, to) in zip(worst, named, strict=True)]

    def annotators(self) -> list[AnnotatorAgreement]:
        """How often each annotator and the model agree on control picks."""
        control = self._found.control
        newest = np.argsort(-control.ids, kind="stable")[:ANNOTATED]
        given = self._store.annotations(self._project.id, control.ids[newest].tolist())
        right: dict[int | None, list[bool]] = {}
        for place in newest.tolist():
            by = {each.annotator for each in given.get(int(control.ids[place]), ()) if not each.skipped}
            if len(by) == 1:
                right.setdefault(by.pop(), []).append(bool(control.labels[place] == control.answers[place]))
        return [
            AnnotatorAgreement(
                annotator=annotator,
                total=len(each),
                agreement=Measured.model_validate(intervals.share(np.array(each, np.int64))),
            )
            for annotator, each in sorted(right.items(), key=lambda item: -len(item[1]))
        ]

    def balance(self) -> list[ClassBalance]:
        """The most frequent classes."""
        found, drawn = self._found, self._found.facts.control_labels
        order = np.argsort(-found.labelled, kind="stable")[:BALANCED]
        share_of = {  # many classes were drawn equally often
            count: Measured.model_validate(intervals.share((np.arange(drawn) < count).astype(np.int64)))
            for count in np.unique(found.picked[order]).tolist()
        }
        return [
            ClassBalance(
                name=self._words.of_class(str(found.classes[k])),
                labels=int(found.labelled[k]),
                control=int(found.picked[k]),
                share=share_of[int(found.picked[k])],
            )
            for k in order.tolist()
        ]


def _aside(services: Services, project: Project) -> Aside:
    """Tasks set aside, sorted by what their reasons have in common."""
    total, tasks = services.store.set_aside(project.id, ASIDE_READ)
    kinds: dict[str, Reason] = {}
    for task, reason in tasks:
        shown = services.redaction.hide(reason, project.hostname)
        found = kinds.setdefault(kind_of(shown), Reason(reason=shown, tasks=0, first=[]))
        found.tasks += 1
        if len(found.first) < EXAMPLES:
            found.first.append(task)
    return Aside(total=total, read=len(tasks), reasons=sorted(kinds.values(), key=lambda each: -each.tasks))


def kind_of(reason: str) -> str:
    """What a reason has in common with others: all words but those with a digit, a quotation mark, or a dot or slash inside."""
    return " ".join(word for word in reason.split() if not re.search(r"\d|['\"]|[./:]\S", word))
