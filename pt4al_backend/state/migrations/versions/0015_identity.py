"""What tells a project's connection from an earlier one of the same number, and which connections were forgotten

A project that is connected has none: its files keep their names.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("identity", sa.String(32), nullable=False, server_default=""))
    if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
        op.alter_column("projects", "identity", server_default=None)
    op.create_table(
        "forgotten",
        sa.Column("project_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("identity", sa.String(32), primary_key=True),
        sa.Column("shared", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("forgotten")
    op.drop_column("projects", "identity")
