"""The pretrained encoder that was chosen for a project

The column is added in place, as in 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("encoder", sa.Text(), nullable=False, server_default=""))
    if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
        op.alter_column("projects", "encoder", server_default=None)


def downgrade() -> None:
    op.drop_column("projects", "encoder")
