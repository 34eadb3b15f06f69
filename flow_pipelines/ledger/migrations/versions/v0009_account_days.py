"""Daily budgets are the accounts', not the providers'; every file is kept, and found again.

A night knows what its rows may share. What the version before refused is fetched once more.
"""

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

_GIVEN_UP = 8
"""Collections after which the version before left a night to a person."""


def upgrade() -> None:
    """Sum up anew what each account has reserved of each day; add what is known of files."""
    _sum_up_by_account()
    _keep_every_file()
    _shared_faults()


def _sum_up_by_account() -> None:
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


def _keep_every_file() -> None:
    """Add the columns of `outputs`, its index by content, and collect what was given up."""
    for name in ("node", "declared_type", "verified", "verified_why"):
        op.add_column("outputs", sa.Column(name, sa.Text()))
    for name in ("declared_bytes", "doubted_at", "settled_above"):
        op.add_column("outputs", sa.Column(name, sa.BigInteger()))
    known = sa.text("sha256 IS NOT NULL")
    op.create_index(
        "ix_outputs_sha256", "outputs", ["sha256"], sqlite_where=known, postgresql_where=known
    )
    nights = sa.table(
        "nights",
        sa.column("uncollected", sa.Integer),
        sa.column("collect_attempts", sa.Integer),
        sa.column("attention", sa.Boolean),
    )
    op.execute(
        nights.update()
        .where(nights.c.uncollected > 0, nights.c.collect_attempts >= _GIVEN_UP)
        .values(collect_attempts=0, attention=True)
    )


def reserved_by_day(dialect: str) -> str:
    """Return the query that sums up submissions by account and UTC day of the intent."""
    day = _DAYS[dialect]
    return (
        f"SELECT resource, {day} AS day, sum(reserved_usd) AS reserved_usd FROM submissions "  # noqa: S608 - ours
        f"WHERE submitting_at IS NOT NULL AND reserved_usd <> 0 GROUP BY resource, {day}"
    )


def _shared_faults() -> None:
    """Add who asked for a night, how rows were refused, and why it was stopped.

    Nothing of before counts, is stopped or waits for anybody.
    """
    for name in ("asks", "held", "ask_accepted", "ask_succeeded", "ask_failed"):
        op.add_column("nights", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("nights", sa.Column("asked_by", sa.Text()))
    op.add_column("nights", sa.Column("stop_after_failures", sa.Integer()))
    op.add_column("nights", sa.Column("stopped", sa.Text()))
    op.add_column(
        "submissions", sa.Column("waits_for", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("submissions", sa.Column("ask", sa.Integer()))
    op.add_column("submissions", sa.Column("refusal", sa.Text()))
    refused = sa.text("refusal IS NOT NULL")
    op.create_index(
        "ix_submissions_refusal",
        "submissions",
        ["batch", "partition_key", "refusal"],
        sqlite_where=refused,
        postgresql_where=refused,
    )
