"""Indexes of the tasks that are left out, wholly or in part, and of the images that were altered to be used

Pages count and list them: there are few, and without an index each reading of a status went through all tasks four times.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BEFORE = {"aside": "problem <> ''"}
INDEXES = {"left_out": "(problem <> '' OR note <> '')", "altered": "image_note <> ''"}


def upgrade() -> None:
    _replace(BEFORE, INDEXES)


def downgrade() -> None:
    _replace(INDEXES, BEFORE)


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    for name in old:
        op.drop_index(f"tasks_{name}", "tasks")
    for name, lacking in new.items():
        where = sa.text(lacking)
        op.create_index(f"tasks_{name}", "tasks", ["project_id", "id"], sqlite_where=where, postgresql_where=where)
