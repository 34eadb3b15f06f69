"""Nights may be closed: their rows are archived in the bucket, and none comes after them.

A process of the version before that still runs knows nothing of that: the database itself refuses
to take submissions of a closed night.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow_pipelines.ledger.closed_triggers import REFUSE_ROWS

revision = "0010"
down_revision = "0009"
additive = True


def upgrade() -> None:
    """Add what is kept of closed nights. No night is closed yet."""
    op.add_column("nights", sa.Column("closed_at", sa.BigInteger()))
    _closed_nights()
    _closed_sums()
    _runs()
    for statement in REFUSE_ROWS[op.get_bind().dialect.name]:
        op.execute(statement)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _whole(kind: sa.types.TypeEngine[int], *names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _of_night() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["batch", "partition_key"], ["nights.batch", "nights.partition_key"]
    )


def _closed_nights() -> None:
    op.create_table(
        "closed_nights",
        *_text("batch", "partition_key", "archive", "digest", "ledger_ids"),
        sa.PrimaryKeyConstraint("batch", "partition_key"),
        _of_night(),
    )


def _closed_sums() -> None:
    big, small = sa.BigInteger(), sa.Integer()
    op.create_table(
        "closed_sums",
        *_text("batch", "partition_key", "state", "provider", "resource"),
        *_whole(small, "generation", "day", "rows", "runs", "runs_cost_unknown", "images", "ends"),
        *_whole(big, "cost_usd", "estimated_usd", "reserved_usd", "flotime_ms", "planned_at"),
        *(sa.Column(name, big) for name in ("bought_at", "first_end_at", "last_end_at")),
        sa.PrimaryKeyConstraint(
            "batch", "partition_key", "generation", "state", "provider", "resource", "day"
        ),
        _of_night(),
    )
    op.create_index("ix_closed_sums_day", "closed_sums", ["day"])
    op.create_index("ix_closed_sums_planned", "closed_sums", ["planned_at"])


def _runs() -> None:
    op.create_table(
        "closed_runs",
        *_text("submission_key", "batch", "partition_key", "provider"),
        sa.Column("provider_run_id", sa.Text()),
        sa.PrimaryKeyConstraint("submission_key"),
        _of_night(),
    )
    has_run = sa.text("provider_run_id IS NOT NULL")
    op.create_index(
        "ux_closed_runs_run",
        "closed_runs",
        ["provider", "provider_run_id"],
        unique=True,
        sqlite_where=has_run,
        postgresql_where=has_run,
    )
    op.create_table(
        "late_runs",
        *_text("submission_key", "provider_run_id", "batch", "partition_key", "provider"),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_why", sa.Text()),
        sa.PrimaryKeyConstraint("submission_key", "provider_run_id"),
        sa.ForeignKeyConstraint(["submission_key"], ["closed_runs.submission_key"]),
        _of_night(),
    )
    op.create_index("ix_late_runs_night", "late_runs", ["batch", "partition_key", "heard_at"])
    op.create_index("ix_late_runs_run", "late_runs", ["provider", "provider_run_id"])
