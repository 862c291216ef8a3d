"""What tells this backend from others, the secret of its webhooks, and the name under which Label Studio reaches it

Both are drawn here, so that there is one of each whatever number of processes starts at once.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "instance",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("webhook_secret", sa.String(length=64), nullable=False),
    )
    op.bulk_insert(table, [{"id": secrets.token_hex(16), "webhook_secret": secrets.token_urlsafe(32)}])
    op.add_column("projects", sa.Column("backend_host", sa.Text(), nullable=False, server_default=""))
    if op.get_bind().dialect.name != "sqlite":  # which cannot take a default away
        op.alter_column("projects", "backend_host", server_default=None)


def downgrade() -> None:
    op.drop_column("projects", "backend_host")
    op.drop_table("instance")
