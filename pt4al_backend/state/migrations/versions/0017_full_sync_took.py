"""How long the last full pass over a project's tasks took

The next one waits the longer: at half a million tasks passes would follow each other without a pause.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("full_sync_took", sa.Float(), nullable=False, server_default="0"))
    if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
        op.alter_column("projects", "full_sync_took", server_default=None)


def downgrade() -> None:
    op.drop_column("projects", "full_sync_took")
