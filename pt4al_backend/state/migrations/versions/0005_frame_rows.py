"""Rows of the frame file are handed out by a counter, and a file that may be damaged is checked

Columns are added in place, as in 0003.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ADDED: dict[str, tuple["sa.types.TypeEngine[Any]", Any]] = {
    "next_row": (sa.Integer(), "0"),
    "frames_suspect": (sa.Boolean(), sa.false()),
}


def upgrade() -> None:
    projects = sa.table("projects", sa.column("id"), sa.column("next_row"))
    tasks = sa.table("tasks", sa.column("project_id"), sa.column("row"))
    for name, (kind, default) in ADDED.items():
        op.add_column("projects", sa.Column(name, kind, nullable=False, server_default=default))
    used = sa.select(sa.func.coalesce(sa.func.max(tasks.c.row) + 1, 0)).where(tasks.c.project_id == projects.c.id)
    op.execute(sa.update(projects).values(next_row=used.scalar_subquery()))
    if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
        for name in ADDED:
            op.alter_column("projects", name, server_default=None)


def downgrade() -> None:
    for name in ADDED:
        op.drop_column("projects", name)
