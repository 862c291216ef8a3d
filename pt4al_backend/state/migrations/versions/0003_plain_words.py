"""Columns in plain words, a value for tasks without an answer, and leases that the kernel holds

The tables are altered in place, as in 0002.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RENAMED = {
    "asked": "requests",
    "train_asked": "trainings_requested",
    "train_done": "trainings_handled",
    "asked_size": "requested_size",
}
LEASE: dict[str, tuple["sa.types.TypeEngine[Any]", str]] = {
    "lease_owner": (sa.String(length=64), ""),
    "lease_until": (sa.Float(), "0"),
}


def upgrade() -> None:
    for old, new in RENAMED.items():
        op.alter_column("projects", old, new_column_name=new)
    for name in LEASE:
        op.drop_column("projects", name)
    _add("requests_handled", sa.Integer(), "0")
    op.execute("UPDATE projects SET requests_handled = requests")
    op.execute("UPDATE tasks SET answer = 'none' WHERE answer = ''")


def downgrade() -> None:
    op.execute("UPDATE tasks SET answer = '' WHERE answer = 'none'")
    op.drop_column("projects", "requests_handled")
    for name, (kind, default) in LEASE.items():
        _add(name, kind, default)
    for old, new in RENAMED.items():
        op.alter_column("projects", new, new_column_name=old)


def _add(name: str, kind: "sa.types.TypeEngine[Any]", default: str) -> None:
    op.add_column("projects", sa.Column(name, kind, nullable=False, server_default=default))
    if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
        op.alter_column("projects", name, server_default=None)
