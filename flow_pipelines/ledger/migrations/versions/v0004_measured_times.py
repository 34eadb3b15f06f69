"""Turns under a rate limit have purposes, and how long runs take is measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add what is measured; let every account begin rested."""
    op.create_table(
        "run_times",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("workflow_version", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("at_least_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_most_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "workflow_version", "place"),
    )
    op.add_column("submissions", sa.Column("asked_at", sa.BigInteger(), nullable=True))
    op.add_column("pace", sa.Column("sheet", sa.Text(), nullable=True))
    op.drop_column("pace", "rested_at")
