"""A batch belongs to one code location."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table. Who worked on a batch so far claims it with its next step."""
    op.create_table(
        "batch_locations",
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("batch"),
    )
