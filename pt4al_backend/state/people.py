"""What people ask of a project: tasks to be labelled next, more control picks; and the log of what they did."""

import time
from collections.abc import Sequence

import numpy as np
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from pt4al_backend.aliases import Ids
from pt4al_backend.state.database import Database, sliced
from pt4al_backend.state.projects import change
from pt4al_backend.state.schema import Action, ActionKind, AnswerKind, PersonsChoice, Project, ProjectColumns, Round, Task


class PeopleStore(Database):
    """Reads and writes what people ask for. What changes is written together with who wants it."""

    def act(self, project_id: int, who: str, what: ActionKind, detail: str = "", columns: ProjectColumns | None = None) -> None:
        """Sets columns of a project because somebody wants it, and notes who."""
        with self._writing() as session:
            session.add(_action(project_id, who, what, detail))
            if columns:
                change(session, project_id, columns)

    def want_controls(self, project_id: int, number: int, total: int, who: str) -> None:
        """Notes that somebody wants a round to have at least ``total`` control picks; the larger of two numbers stands."""
        where = (Round.project_id == project_id, Round.number == number, Round.controls_wanted < total)
        with self._writing() as session:
            session.add(_action(project_id, who, ActionKind.ADD_CONTROL_PICKS, f"{total} in round {number}"))
            session.execute(update(Round).where(*where).values(controls_wanted=total))

    def have_controls(self, project_id: int, number: int, total: int) -> None:
        """Notes that a round has the control picks that were wanted, or as many as there are tasks for.

        Somebody who has wanted more meanwhile is not forgotten.
        """
        where = (Round.project_id == project_id, Round.number == number, Round.controls_wanted == total)
        with self._writing() as session:
            session.execute(update(Round).where(*where).values(controls_wanted=0))

    def choose(self, project_id: int, task_ids: Sequence[int], who: str) -> None:
        """Puts tasks in front of all that were chosen before, in their order."""
        now = time.time()
        rows = [{"project_id": project_id, "task_id": i, "at": now, "place": place} for place, i in enumerate(task_ids)]
        with self._writing() as session:
            for part in sliced(task_ids):
                session.execute(
                    delete(PersonsChoice).where(PersonsChoice.project_id == project_id, PersonsChoice.task_id.in_(part))
                )
            session.execute(insert(PersonsChoice), rows)
            session.add(_action(project_id, who, ActionKind.LABEL_NEXT, _shown(task_ids)))
            _request_choices(session, project_id)

    def withdraw(self, project_id: int, task_ids: Sequence[int] | None, who: str) -> Ids:
        """Takes back people's choices that wait for an answer: of these tasks, or all. Returns those taken back, int64[n]."""
        waiting = self.choices(project_id)
        gone = waiting if task_ids is None else waiting[np.isin(waiting, np.array(task_ids, np.int64))]
        if len(gone):
            with self._writing() as session:
                for part in sliced(gone.tolist()):
                    of = (PersonsChoice.project_id == project_id, PersonsChoice.task_id.in_(part))
                    session.execute(delete(PersonsChoice).where(*of))
                session.add(_action(project_id, who, ActionKind.WITHDRAW_CHOICES, _shown(gone.tolist())))
                _request_choices(session, project_id)
        return gone

    def choices(self, project_id: int) -> Ids:
        """Tasks that people want labelled next and that wait for an answer, in the order served: int64[n]."""
        of = PersonsChoice.project_id == project_id
        found = select(PersonsChoice.task_id).where(of).order_by(PersonsChoice.at.desc(), PersonsChoice.place)
        with self._reading() as session:
            chosen = np.array(session.scalars(found).all(), np.int64)
            waiting = [np.empty(0, np.int64)]
            for part in sliced(chosen.tolist()):  # not by a join, for which SQLite would read every task
                there = (Task.project_id == project_id, Task.id.in_(part), Task.answer == AnswerKind.NONE, Task.problem == "")
                waiting.append(np.array(session.scalars(select(Task.id).where(*there)).all(), np.int64))
        return chosen[np.isin(chosen, np.concatenate(waiting))]

    def not_to_label(self, project_id: int, task_ids: Sequence[int]) -> dict[int, str]:
        """Which of these tasks cannot be labelled next, and why."""
        reasons = dict.fromkeys(task_ids, "there is no such task")
        for part in sliced(task_ids):
            found = select(Task.id, Task.answer, Task.problem).where(Task.project_id == project_id, Task.id.in_(part))
            with self._reading() as session:
                for i, answer, problem in session.execute(found):
                    reasons[i] = "it is set aside" if problem else ANSWERED.get(answer, "")
        return {i: reason for i, reason in reasons.items() if reason}

    def actions(self, project_id: int, limit: int) -> list[Action]:
        """What people did to a project, the newest first."""
        found = select(Action).where(Action.project_id == project_id).order_by(Action.id.desc()).limit(limit)
        with self._reading() as session:
            return list(session.scalars(found))


#: Tasks that a line of the log names.
SHOWN = 20
ANSWERED = {AnswerKind.LABEL: "it is labelled", AnswerKind.SKIP: "it was skipped"}


def _shown(task_ids: Sequence[int]) -> str:
    """What the log says of tasks."""
    return ", ".join(map(str, task_ids[:SHOWN])) + (", …" if len(task_ids) > SHOWN else "")


def _request_choices(session: Session, project_id: int) -> None:
    """Has the next look rearrange the open round."""
    more = {Project.choices_requested: Project.choices_requested + 1}
    session.execute(update(Project).where(Project.id == project_id).values(more))


def _action(project_id: int, who: str, what: ActionKind, detail: str) -> Action:
    return Action(project_id=project_id, at=time.time(), who=who, what=what, detail=detail)
