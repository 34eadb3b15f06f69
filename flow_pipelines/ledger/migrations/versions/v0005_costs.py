"""Costs are asked for by the time of purchase, and for nights that have changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the two indexes."""
    op.create_index("ix_nights_changed", "nights", ["changed_at"])
    sent = sa.text("submitting_at IS NOT NULL")
    op.create_index(
        "ix_submissions_intent",
        "submissions",
        ["submitting_at"],
        sqlite_where=sent,
        postgresql_where=sent,
    )
