"""Links that expire are kept, sealed, for the run that collects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column: outputs of before have no link, and are asked for as they were."""
    op.add_column("outputs", sa.Column("sealed_link", sa.Text(), nullable=True))
