"""Who made each annotation, and when

Annotations of tasks that were read before come with a full pass, which the next look makes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "annotations",
        sa.Column("project_id", sa.BigInteger(), sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("task_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("annotator", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.Boolean(), nullable=False),
    )
    op.create_index("annotations_at", "annotations", ["project_id", "at", "annotator", "skipped"])
    op.execute("UPDATE projects SET full_sync_at = 0")


def downgrade() -> None:
    op.drop_table("annotations")
