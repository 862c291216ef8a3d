"""Who made which annotation when: kept beside the tasks, so that what was labelled can be counted by hour and by annotator.

Label Studio's number of a user is all that is kept of a person. What is forgotten or deleted there goes from here as well.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import case, delete, func, insert, select

from pt4al_backend.state.database import Database, sliced
from pt4al_backend.state.schema import Annotation

QUARTER_SECONDS = 900  # what labels are counted by: every clock of the world differs from UTC by whole ones


class Annotated(NamedTuple):
    """One annotation: its number, its annotator's, when it was made, in whole seconds, and whether that was a skip."""

    id: int
    annotator: int | None
    at: int
    skipped: bool


class QuarterCount(NamedTuple):
    """Labels of one annotator in one quarter of an hour, counted from 1970 in UTC."""

    annotator: int | None
    quarter: int
    labels: int


class AnnotatorCount(NamedTuple):
    """All that one annotator has done, and when last."""

    annotator: int | None
    labels: int
    skips: int
    last_at: int


class AnnotationStore(Database):
    """Reads and writes who annotated when."""

    def annotations(self, project_id: int, task_ids: Sequence[int]) -> dict[int, frozenset[Annotated]]:
        """The annotations of each of the given tasks that has some."""
        found: dict[int, set[Annotated]] = {}
        columns = (Annotation.task_id, Annotation.id, Annotation.annotator, Annotation.at, Annotation.skipped)
        for part in sliced(task_ids):
            named = select(*columns).where(Annotation.project_id == project_id, Annotation.task_id.in_(part))
            with self._reading() as session:
                for task_id, number, annotator, at, skipped in session.execute(named):
                    found.setdefault(task_id, set()).add(Annotated(number, annotator, at, skipped))
        return {task_id: frozenset(each) for task_id, each in found.items()}

    def put_annotations(self, project_id: int, annotations: Mapping[int, Collection[Annotated]]) -> None:
        """Sets the annotations of tasks, by task id; none deletes them."""
        for part in sliced(sorted(annotations)):
            rows = [
                {"project_id": project_id, "task_id": task_id, **each._asdict()}
                for task_id in part
                for each in annotations[task_id]
            ]
            with self._writing() as session:
                session.execute(delete(Annotation).where(Annotation.project_id == project_id, Annotation.task_id.in_(part)))
                if rows:
                    session.execute(insert(Annotation), rows)

    def labels_since(self, project_id: int, since: float) -> list[QuarterCount]:
        """What was labelled since then, by annotator and quarter of an hour; costs no more than what was labelled."""
        quarter = (Annotation.at // QUARTER_SECONDS).label("quarter")
        where = (Annotation.project_id == project_id, Annotation.at >= int(since), Annotation.skipped.is_(False))
        found = select(Annotation.annotator, quarter, func.count()).where(*where).group_by(Annotation.annotator, quarter)
        with self._reading() as session:
            return [QuarterCount(*row) for row in session.execute(found.order_by(quarter, Annotation.annotator))]

    def annotators(self, project_id: int) -> list[AnnotatorCount]:
        """What every annotator has done, the most labels first. Reads an index of all annotations."""
        labels = func.count(case((Annotation.skipped.is_(False), 1))).label("labels")
        columns = (Annotation.annotator, labels, func.count(case((Annotation.skipped, 1))), func.max(Annotation.at))
        found = select(*columns).where(Annotation.project_id == project_id).group_by(Annotation.annotator)
        with self._reading() as session:
            return [AnnotatorCount(*row) for row in session.execute(found.order_by(labels.desc(), Annotation.annotator))]
