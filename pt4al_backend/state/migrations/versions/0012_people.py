"""What people do to a project: pause it, close its round, choose tasks; and the log of it

Columns are added in place, as in 0003.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ADDED: tuple[tuple[str, str, "sa.types.TypeEngine[Any]", Any], ...] = (
    ("projects", "to_put_back", sa.Boolean(), sa.false()),
    ("projects", "round_to_close", sa.Integer(), "0"),
    ("projects", "choices_requested", sa.Integer(), "0"),
    ("projects", "choices_handled", sa.Integer(), "0"),
    ("rounds", "controls_wanted", sa.Integer(), "0"),
)


def upgrade() -> None:
    for table, name, kind, default in ADDED:
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
        if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
            op.alter_column(table, name, server_default=None)
    op.add_column("projects", sa.Column("paused_at", sa.Float(), nullable=True))
    op.create_table(
        "choices",
        _project(primary_key=True),
        sa.Column("task_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
    )
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer(), primary_key=True),
        _project(),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
    )
    op.create_index("actions_project", "actions", ["project_id", "id"])


def _project(*, primary_key: bool = False) -> "sa.Column[int]":
    owner = sa.ForeignKey("projects.id", ondelete="CASCADE")
    return sa.Column("project_id", sa.BigInteger(), owner, primary_key=primary_key, nullable=False)


def downgrade() -> None:
    op.drop_table("actions")
    op.drop_table("choices")
    op.drop_column("projects", "paused_at")
    for table, name, _, _ in ADDED:
        op.drop_column(table, name)
