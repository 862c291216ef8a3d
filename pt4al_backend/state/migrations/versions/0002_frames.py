"""Frames that need not be square, images' sizes, and which annotations an answer was read from

Frames, losses and learners of the first tables are of another kind. The project keeps its old shapes with no task named:
the engine takes that for a change of task, deletes what lies on disk, and fetches and ranks again. Answers stay.

The tables are altered in place, also on SQLite: a table that is copied and dropped there takes along the rows that refer to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RENAMED = {"image_size": "image_height", "stored_size": "stored_height"}
NUMBERS = {"projects": ("asked_size", "image_width", "stored_width"), "tasks": ("width", "height")}
TEXTS = {"projects": ("task", 32), "tasks": ("stamp", 40)}


def upgrade() -> None:
    for old, new in RENAMED.items():
        op.alter_column("projects", old, new_column_name=new)
    for table, names in NUMBERS.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.Integer(), nullable=True))
    for table, (name, length) in TEXTS.items():
        op.add_column(table, sa.Column(name, sa.String(length=length), nullable=False, server_default=""))
        if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
            op.alter_column(table, name, server_default=None)
    op.execute("UPDATE projects SET image_width = image_height, stored_width = stored_height, learner = '', learner_pool = 0")
    op.execute('UPDATE tasks SET "row" = NULL, loss = NULL, batch = 0')


def downgrade() -> None:
    for table, names in NUMBERS.items():
        for name in (*names, TEXTS[table][0]):
            op.drop_column(table, name)
    for old, new in RENAMED.items():
        op.alter_column("projects", new, new_column_name=old)
