"""The labeling config that images and labels were read by"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("config_read", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("projects", "config_read")
