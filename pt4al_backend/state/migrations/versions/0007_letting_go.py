"""Whether Label Studio still lists the backend for a project, and what people had chosen there before

Columns are added in place, as in 0003. Projects of older versions count as connected until the next look.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

REQUIRED: dict[str, tuple["sa.types.TypeEngine[Any]", str]] = {
    "setup_at": (sa.Float(), "0"),
    "listed": (sa.Boolean(), "0"),
    "chosen_before": (sa.JSON(), "{}"),
}


def upgrade() -> None:
    for name, (kind, default) in REQUIRED.items():
        value = sa.false() if name == "listed" else default
        op.add_column("projects", sa.Column(name, kind, nullable=False, server_default=value))
        if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
            op.alter_column("projects", name, server_default=None)
    op.add_column("projects", sa.Column("let_go_at", sa.Float(), nullable=True))


def downgrade() -> None:
    for name in (*REQUIRED, "let_go_at"):
        op.drop_column("projects", name)
