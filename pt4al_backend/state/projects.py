"""The one way to change a project: the row in the database and the row that its holder reads are changed together."""

from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from pt4al_backend.state.schema import Project, ProjectColumns


def id_of(project: Project | int) -> int:
    """The id of a project."""
    return project if isinstance(project, int) else project.id


def change(session: Session, project: Project | int, columns: ProjectColumns) -> None:
    """Sets columns of a project, as part of a transaction; ``mirror`` follows when it is committed."""
    values: dict[str, Any] = {**columns}
    session.execute(update(Project).where(Project.id == id_of(project)).values(values))


def mirror(project: Project | int, columns: ProjectColumns) -> None:
    """Shows in a row that the store gave away what was changed in the database; an id has nothing to show."""
    if isinstance(project, Project):
        for name, value in columns.items():
            set_committed_value(project, name, value)
