"""Which tasks show identical images

Columns are added in place, as in 0003. Frames of older versions get their digest with the next look.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UNDIGESTED = sa.text("\"row\" IS NOT NULL AND frame = ''")
COPIES = sa.text("copy_of IS NOT NULL")


def upgrade() -> None:
    op.add_column("tasks", sa.Column("frame", sa.String(32), nullable=False, server_default=""))
    if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
        op.alter_column("tasks", "frame", server_default=None)
    op.add_column("tasks", sa.Column("copy_of", sa.BigInteger(), nullable=True))
    op.create_index("tasks_undigested", "tasks", ["project_id", "id"], sqlite_where=UNDIGESTED, postgresql_where=UNDIGESTED)
    op.create_index("tasks_copies", "tasks", ["project_id", "copy_of", "id"], sqlite_where=COPIES, postgresql_where=COPIES)
    op.create_index("tasks_frame", "tasks", ["project_id", "frame"])


def downgrade() -> None:
    for name in ("tasks_frame", "tasks_copies", "tasks_undigested"):
        op.drop_index(name, "tasks")
    op.drop_column("tasks", "copy_of")
    op.drop_column("tasks", "frame")
