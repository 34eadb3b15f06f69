"""Daily budgets are the accounts', not the providers'."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_DAYS = {
    "sqlite": "date(submitting_at / 1000000, 'unixepoch')",
    "postgresql": (
        "to_char(to_timestamp(submitting_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    ),
}
"""The UTC day of the intent, which is kept in microseconds since 1970."""


def upgrade() -> None:
    """Sum up anew, by account, what the submissions have reserved of each day."""
    op.drop_table("budget_days")
    op.create_table(
        "budget_days",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("reserved_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource", "day"),
    )
    sums = reserved_by_day(op.get_bind().dialect.name)
    op.execute(f"INSERT INTO budget_days (resource, day, reserved_usd) {sums}")


def reserved_by_day(dialect: str) -> str:
    """Return the query that sums up submissions by account and UTC day of the intent."""
    day = _DAYS[dialect]
    return (
        f"SELECT resource, {day} AS day, sum(reserved_usd) AS reserved_usd FROM submissions "  # noqa: S608 - ours
        f"WHERE submitting_at IS NOT NULL AND reserved_usd <> 0 GROUP BY resource, {day}"
    )
