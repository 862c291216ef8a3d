"""How many tasks of each batch are how far

Pages show these numbers, and to count them went through all tasks after every change. They are kept up to date from here on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COUNTED = {
    "tasks": "COUNT(*)",
    "pool": "COUNT(CASE WHEN problem = '' THEN 1 END)",
    "fetched": 'COUNT("row")',
    "scored": "COUNT(loss)",
    "labelled": "COUNT(CASE WHEN answer = 'label' THEN 1 END)",
    "skipped": "COUNT(CASE WHEN answer = 'skip' AND note = '' THEN 1 END)",
    "aside": "COUNT(CASE WHEN problem <> '' OR (answer = 'skip' AND note <> '') THEN 1 END)",
}


def upgrade() -> None:
    op.create_table(
        "batch_counts",
        sa.Column("project_id", sa.BigInteger(), sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("batch", sa.Integer(), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTED),
    )
    op.execute(
        f"INSERT INTO batch_counts (project_id, batch, {', '.join(COUNTED)}) "  # noqa: S608 - of constants
        f"SELECT project_id, batch, {', '.join(COUNTED.values())} FROM tasks GROUP BY project_id, batch"
    )


def downgrade() -> None:
    op.drop_table("batch_counts")
