"""Indexes of the tasks that still lack something, what a publication shows, and since when a project waits for the device

Columns are added in place, as in 0003. Of publications of older versions it is not known what they show: the next look finds out.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEXES = {
    "unfetched": "\"row\" IS NULL AND image <> ''",
    "unranked": '"row" IS NOT NULL AND loss IS NULL',
    "unanswered": "answer = 'none'",
    "aside": "problem <> ''",
}
COLUMNS: dict[str, tuple[str, "sa.types.TypeEngine[Any]"]] = {
    "publications": ("hides_answers", sa.Boolean()),
    "projects": ("device_wanted_at", sa.Float()),
}


def upgrade() -> None:
    for name, lacking in INDEXES.items():
        where = sa.text(lacking)
        op.create_index(f"tasks_{name}", "tasks", ["project_id", "id"], sqlite_where=where, postgresql_where=where)
    for table, (name, kind) in COLUMNS.items():
        op.add_column(table, sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for table, (name, _) in COLUMNS.items():
        op.drop_column(table, name)
    for name in INDEXES:
        op.drop_index(f"tasks_{name}", "tasks")
