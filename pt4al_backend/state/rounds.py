"""The rounds of the state: their picks, what each learned, and what Label Studio serves."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import JSON, delete, insert, select, type_coerce, update
from sqlalchemy.orm import Session

from pt4al_backend.measures import ClassMeasured, Control
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.columns import JsonOf
from pt4al_backend.state.database import Database, sliced
from pt4al_backend.state.projects import change, id_of, mirror
from pt4al_backend.state.schema import (
    Pick,
    Project,
    ProjectColumns,
    Publication,
    PublicationState,
    Round,
    RoundState,
)


@dataclass(frozen=True)
class ClosedRound:
    """What a round leaves when it closes: the columns of ``Round`` of these names. Without a model, the number of its labels."""

    labels: int
    model: str = ""
    digest: str = ""
    control: Control = field(default_factory=Control)
    seconds: dict[str, float] = field(default_factory=dict)


class PastRound(NamedTuple):
    """A round as a list shows it: the columns of ``Round`` of these names. ``control`` is without its classes."""

    number: int
    state: RoundState
    batch: int
    opened_at: float
    closed_at: float | None
    labels: int
    seconds: dict[str, object]
    control: Control


_CONTROL, _CLASS = JsonOf(Control), JsonOf(ClassMeasured)
_MEASURES = tuple(name for name in Control.model_fields if name != "classes")


class PublicationColumns(TypedDict, total=False):
    """Columns of ``Publication`` that change."""

    state: PublicationState
    digest: str
    picks: int
    hides_answers: bool


def outdate(session: Session, project_id: int, rounds: Iterable[int]) -> None:
    """Notes that what is served of these rounds is not what is picked, as part of a transaction that changes their picks.

    So a look need not read thousands of picks to find that they are the same. Picks that only follow are not a change.
    """
    live = (Publication.project_id == project_id, Publication.state == PublicationState.LIVE)
    session.execute(update(Publication).where(*live, Publication.round.in_(list(rounds))).values(digest=""))


def _control(values: Sequence[object]) -> Control:
    found = {name: value for name, value in zip(_MEASURES, values, strict=True) if value is not None}
    return _CONTROL.read(found)


class RoundStore(Database):
    """Reads and writes rounds, picks and publications."""

    def rounds(self, project_id: int, last: int | None = None) -> list[Round]:
        """All rounds in order, or the ``last`` ones."""
        found = select(Round).where(Round.project_id == project_id).order_by(Round.number.desc()).limit(last)
        with self._reading() as session:
            return list(session.scalars(found))[::-1]

    def history(self, project_id: int, last: int) -> list[PastRound]:
        """The ``last`` rounds in order. The database leaves the classes out: to parse those of 100 rounds takes 0.2 s."""
        columns = [getattr(Round, name) for name in PastRound._fields if name != "control"]
        measures = [type_coerce(Round.control, JSON)[name] for name in _MEASURES]
        found = select(*columns, *measures).where(Round.project_id == project_id).order_by(Round.number.desc()).limit(last)
        with self._reading() as session:
            rows = session.execute(found).all()[::-1]
        return [PastRound._make((*row[: len(columns)], _control(row[len(columns) :]))) for row in rows]

    def class_history(self, project_id: int, name: str, last: int) -> list[tuple[int, int, ClassMeasured]]:
        """The ``last`` rounds whose model was measured on a class, in order: number, labels that trained it, the measure.

        Read round by round: no more than one round's classes are held.
        """
        measured = type_coerce(Round.control, JSON)["classes"]
        found = select(Round.number, Round.labels, measured).where(Round.project_id == project_id)
        with self._reading() as session:
            rows = session.execute(found.order_by(Round.number.desc()).limit(last), execution_options={"yield_per": 1})
            known = [(number, labels, _CLASS.read(classes[name])) for number, labels, classes in rows if name in (classes or {})]
        return known[::-1]

    def round(self, project_id: int, number: int) -> Round | None:
        """One round, or None."""
        with self._reading() as session:
            return session.get(Round, (project_id, number))

    def open_round(
        self, project: Project | int, opened: Round, picks: Sequence[Pick], *, closed: ClosedRound | None = None
    ) -> None:
        """Closes the round before ``opened`` if ``closed`` is given, and opens ``opened`` with its picks, in one transaction.

        A round of that number that is still starting is replaced, and so are its picks: what is served of it is out of date.
        """
        number, columns = id_of(project), ProjectColumns(round=opened.number)
        if closed and closed.model:
            columns["model"] = closed.model
        with self._writing() as session:
            if closed is not None:
                before = (Round.project_id == number, Round.number == opened.number - 1)
                values = {"state": RoundState.CLOSED, "closed_at": time.time(), **vars(closed)}
                session.execute(update(Round).where(*before).values(values))
            outdate(session, number, [opened.number])
            session.execute(delete(Pick).where(Pick.project_id == number, Pick.round == opened.number))
            session.execute(delete(Round).where(Round.project_id == number, Round.number == opened.number))
            change(session, project, columns)
            session.add(opened)
            session.add_all(picks)
        mirror(project, columns)

    def add_closed(self, project: Project | int, number: int, closed: ClosedRound) -> None:
        """Notes a model of labels that no round has queried, as a round of its own that is closed at once."""
        now, columns = time.time(), ProjectColumns(model=closed.model)
        row = Round(project_id=id_of(project), number=number, state=RoundState.CLOSED, opened_at=now, closed_at=now)
        for name, value in vars(closed).items():
            setattr(row, name, value)
        with self._writing() as session:
            session.merge(row)
            change(session, project, columns)
        mirror(project, columns)

    def picks(self, project_id: int, round_number: int) -> list[Pick]:
        """A round's picks in the order served."""
        where = (Pick.project_id == project_id, Pick.round == round_number)
        with self._reading() as session:
            return list(session.scalars(select(Pick).where(*where).order_by(Pick.position)))

    def add_picks(self, picks: Sequence[Pick]) -> None:
        """Appends picks to a round."""
        with self._writing() as session:
            session.add_all(picks)

    def replace_picks(self, project_id: int, round_number: int, picks: Sequence[Pick]) -> None:
        """Gives a round other picks, or the same in another order."""
        with self._writing() as session:
            outdate(session, project_id, [round_number])
            session.execute(delete(Pick).where(Pick.project_id == project_id, Pick.round == round_number))
            rows = [{column.name: getattr(pick, column.name) for column in Pick.__table__.columns} for pick in picks]
            if rows:  # not add_all: rows that were read from the database would not be written again
                session.execute(insert(Pick), rows)

    def drop_picks(self, project_id: int, round_number: int, task_ids: Sequence[int]) -> None:
        """Takes picks of a round back."""
        for part in sliced(task_ids):
            with self._writing() as session:
                outdate(session, project_id, [round_number])
                where = (Pick.project_id == project_id, Pick.round == round_number, Pick.task_id.in_(part))
                session.execute(delete(Pick).where(*where))

    def picks_of(self, project_id: int, round_number: int, task_ids: Sequence[int]) -> dict[int, Pick]:
        """The picks of a round among the given tasks."""
        found: dict[int, Pick] = {}
        for part in sliced(task_ids):
            where = (Pick.project_id == project_id, Pick.round == round_number, Pick.task_id.in_(part))
            with self._reading() as session:
                found.update({pick.task_id: pick for pick in session.scalars(select(Pick).where(*where))})
        return found

    def controls_among(self, project_id: int, task_ids: Sequence[int]) -> set[int]:
        """Which of the given tasks were ever a control pick."""
        found: set[int] = set()
        for part in sliced(task_ids):
            where = (Pick.project_id == project_id, Pick.kind == PickKind.CONTROL, Pick.task_id.in_(part))
            with self._reading() as session:
                found.update(session.scalars(select(Pick.task_id).where(*where)))
        return found

    def control_ids(self, project_id: int) -> NDArray[np.int64]:
        """Every task that was ever a control pick: it is never trained on."""
        where = (Pick.project_id == project_id, Pick.kind == PickKind.CONTROL)
        with self._reading() as session:
            return np.array(sorted(set(session.scalars(select(Pick.task_id).where(*where)))), np.int64)

    def publications(self, project_id: int, *states: PublicationState) -> list[Publication]:
        """Publications in the given states, oldest first."""
        where = (Publication.project_id == project_id, Publication.state.in_(states))
        with self._reading() as session:
            return list(session.scalars(select(Publication).where(*where).order_by(Publication.at)))

    def announce(self, publication: Publication) -> None:
        """Writes down what is about to be sent, before it is sent."""
        with self._writing() as session:
            session.execute(
                insert(Publication).values(**{c.name: getattr(publication, c.name) for c in Publication.__table__.columns})
            )

    def set_publication(self, project_id: int, version: str, **columns: Unpack[PublicationColumns]) -> None:
        """Sets columns of one publication."""
        where = (Publication.project_id == project_id, Publication.version == version)
        with self._writing() as session:
            session.execute(update(Publication).where(*where).values(**columns))

    def let_go(self, project: Project | int, **columns: Unpack[ProjectColumns]) -> None:
        """Notes that Label Studio is not to serve anything any more, and sets columns of the project."""
        publications = Publication.project_id == id_of(project)
        served = Publication.state.in_([PublicationState.LIVE, PublicationState.SENDING])
        with self._writing() as session:
            session.execute(update(Publication).where(publications, served).values(state=PublicationState.OLD))
            change(session, project, columns)
        mirror(project, columns)

    def go_live(self, project: Project | int, version: str) -> None:
        """Notes that Label Studio serves ``version`` now; the one before becomes old."""
        publications, live = Publication.project_id == id_of(project), Publication.state == PublicationState.LIVE
        columns: ProjectColumns = {"served_version": version}
        with self._writing() as session:
            before = update(Publication).where(publications, live, Publication.version != version)
            session.execute(before.values(state=PublicationState.OLD))
            this = update(Publication).where(publications, Publication.version == version)
            session.execute(this.values(state=PublicationState.LIVE))
            change(session, project, columns)
        mirror(project, columns)
