"""The model whose encoder is trained too, where it is served beside rounds of heads; and whose answers a publication has

Columns are added in place, as in 0003.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ADDED: tuple[tuple[str, str, "sa.types.TypeEngine[Any]", str], ...] = (
    ("projects", "full_model", sa.JSON(), "{}"),
    ("publications", "answered_by", sa.String(32), ""),
)


def upgrade() -> None:
    for table, name, kind, default in ADDED:
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
        if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
            op.alter_column(table, name, server_default=None)


def downgrade() -> None:
    for table, name, _, _ in ADDED:
        op.drop_column(table, name)
