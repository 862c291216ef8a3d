"""Identical images: which tasks show the frame of another task.

Of tasks with equal frames the first to arrive is the origin, and the others are its copies. All of it is kept up to date by what
arrives and leaves, so that nothing here reads the pool.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from pt4al_backend.state.counts import counted
from pt4al_backend.state.database import Database, sliced
from pt4al_backend.state.outstanding import lacking
from pt4al_backend.state.schema import Task

MEMBERS_SHOWN = 10


@dataclass(frozen=True)
class CopyGroup:
    """Tasks with identical images: how many there are, and the first of them, the origin among these."""

    size: int
    tasks: tuple[int, ...]


def release(session: Session, project_id: int, ids: Sequence[int]) -> None:
    """Gives copies of these tasks, at most a slice, another origin: the tasks are about to go, or to show something else."""
    for origin in session.scalars(select(Task.copy_of).where(_of(project_id), Task.copy_of.in_(ids)).distinct()).all():
        copies = (_of(project_id), Task.copy_of == origin)
        heir = session.scalar(select(func.min(Task.id)).where(*copies, Task.id.not_in(ids)))
        session.execute(update(Task).where(*copies).values(copy_of=heir))
        session.execute(update(Task).where(_of(project_id), Task.id == heir).values(copy_of=None))


class CopyStore(Database):
    """Reads and writes which images are identical."""

    def undigested_count(self, project_id: int) -> int:
        """How many frames `put_digests` has not had yet."""
        with self._reading() as session:
            return session.scalar(select(func.count()).select_from(Task).where(_of(project_id), lacking("undigested"))) or 0

    def without_digest(self, project_id: int, at_most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Task ids int64[n] and rows int64[n] of the first of these, by row."""
        found = select(Task.id, Task.row).where(_of(project_id), lacking("undigested")).order_by(Task.row).limit(at_most)
        with self._reading() as session:
            pairs = np.array([tuple(each) for each in session.execute(found)], np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def known_frames(self, project_id: int, digests: Sequence[str]) -> set[str]:
        """Those of these digests that the frame of a task has."""
        found: set[str] = set()
        for part in sliced(digests):
            with self._reading() as session:
                found.update(session.scalars(select(Task.frame).where(_of(project_id), Task.frame.in_(part))))
        return found

    def digests(self, project_id: int, ids: Sequence[int]) -> dict[int, str]:
        """What the frames of these tasks show, "" where nobody has noted it."""
        found: dict[int, str] = {}
        for part in sliced(ids):
            with self._reading() as session:
                rows = session.execute(select(Task.id, Task.frame).where(_of(project_id), Task.id.in_(part)))
                found.update({task_id: digest for task_id, digest in rows})
        return found

    def put_digests(self, project_id: int, digests: Mapping[int, str]) -> None:
        """Notes what the frames of tasks show, by task id: a task whose digest an earlier one has is its copy."""
        for part in sliced(sorted(digests.items())):
            with self._writing() as session:
                known = select(Task.frame, Task.id).where(
                    _of(project_id), Task.frame.in_({digest for _, digest in part}), Task.copy_of.is_(None)
                )
                origins = {digest: task_id for digest, task_id in session.execute(known)}
                for task_id, digest in part:
                    origin = origins.setdefault(digest, task_id)
                    values = {"frame": digest, "copy_of": None if origin == task_id else origin}
                    session.execute(update(Task).where(_of(project_id), Task.id == task_id).values(values))

    def forget_frames(self, project_id: int, ids: Sequence[int]) -> None:
        """Notes that the frames of tasks are lost."""
        for part in sliced(ids):
            with self._writing() as session, counted(session, project_id, part):
                release(session, project_id, part)
                lost = update(Task).where(_of(project_id), Task.id.in_(part))
                session.execute(lost.values(row=None, frame="", copy_of=None))

    def origins(self, project_id: int, ids: Sequence[int]) -> dict[int, int]:
        """The origin of each of these tasks that is a copy."""
        found: dict[int, int] = {}
        for part in sliced(ids):
            copies = select(Task.id, Task.copy_of).where(_of(project_id), Task.id.in_(part), Task.copy_of.is_not(None))
            with self._reading() as session:
                found.update({task_id: origin for task_id, origin in session.execute(copies) if origin is not None})
        return found

    def copy_groups(self, project_id: int, limit: int) -> list[CopyGroup]:
        """The largest groups of identical images, largest first."""
        size = func.count().label("size")
        largest = select(Task.copy_of, size).where(_of(project_id), Task.copy_of.is_not(None)).group_by(Task.copy_of)
        groups = []
        with self._reading() as session:
            for origin, copies in session.execute(largest.order_by(size.desc(), Task.copy_of).limit(limit)):
                members = select(Task.id).where(_of(project_id), Task.copy_of == origin).order_by(Task.id)
                shown = session.scalars(members.limit(MEMBERS_SHOWN - 1))
                groups.append(CopyGroup(copies + 1, (int(origin or 0), *shown)))
        return groups


def _of(project_id: int) -> ColumnElement[bool]:
    return Task.project_id == project_id
