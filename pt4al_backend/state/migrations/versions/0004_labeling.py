"""The control that labels were read by, and what was done to an image

Columns are added in place, as in 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = {"projects": "control_read", "tasks": "image_note"}


def upgrade() -> None:
    for table, name in COLUMNS.items():
        op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=""))
        if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
            op.alter_column(table, name, server_default=None)


def downgrade() -> None:
    for table, name in COLUMNS.items():
        op.drop_column(table, name)
