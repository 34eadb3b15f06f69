"""What proves whose a run is, where its files are, and which account it was sent with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add columns and tables, and count the intents of before.

    A row that was proven not accepted has counted 1, one that was or may have been accepted 2,
    however often it was sent: so of two copies of a ledger, both upgraded, the one that knows of
    the purchase always counts more.
    """
    op.add_column(
        "submissions", sa.Column("intents", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("submissions", sa.Column("intent_ledger_id", sa.Text()))
    op.add_column("submissions", sa.Column("body_sha256", sa.Text()))
    op.add_column("submissions", sa.Column("estimate_usd", sa.BigInteger()))
    op.execute(_COUNT)
    _index_due()
    op.add_column("outputs", sa.Column("bucket", sa.Text()))
    op.add_column("settlements", sa.Column("provider_run_id", sa.Text()))
    _tables()


_COUNT = """
UPDATE submissions SET intents = CASE
    WHEN state IN ('planned', 'skipped') THEN 1
    WHEN state = 'canceled' AND provider_run_id IS NULL THEN 1
    ELSE 2 END
WHERE submitting_at IS NOT NULL
"""


def _index_due() -> None:
    op.drop_index("ix_submissions_due", "submissions")
    polled = sa.text("next_poll_at IS NOT NULL")
    op.create_index(
        "ix_submissions_due",
        "submissions",
        ["provider", "resource", "next_poll_at"],
        sqlite_where=polled,
        postgresql_where=polled,
    )


def _tables() -> None:
    op.create_table(
        "detached_outputs",
        _of_submission(),
        sa.Column("output_index", sa.Integer(), nullable=False),
        _text("provider_run_id"),
        _text("output_id"),
        sa.Column("bucket", sa.Text()),
        sa.Column("s3_key", sa.Text()),
        sa.Column("sha256", sa.Text()),
        _instant("detached_at"),
        sa.PrimaryKeyConstraint("submission_key", "output_index"),
    )
    op.create_table(
        "second_runs",
        _of_submission(),
        _text("provider_run_id"),
        _instant("heard_at"),
        sa.Column("settled_why", sa.Text()),
        sa.PrimaryKeyConstraint("submission_key", "provider_run_id"),
    )
    open_ones = sa.text("settled_why IS NULL")
    op.create_index(
        "ix_second_runs_open",
        "second_runs",
        ["heard_at"],
        sqlite_where=open_ones,
        postgresql_where=open_ones,
    )
    op.create_table(
        "accounts",
        sa.Column("resource", sa.Text(), nullable=False, primary_key=True),
        _text("provider"),
        _text("identity"),
        _instant("seen_at"),
    )
    op.create_table(
        "night_places",
        _text("batch"),
        _text("partition_key"),
        _text("place"),
        _instant("first_at"),
        sa.Column("journaled_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("batch", "partition_key", "place"),
        sa.ForeignKeyConstraint(
            ["batch", "partition_key"], ["nights.batch", "nights.partition_key"]
        ),
    )


def _of_submission() -> sa.Column[str]:
    return sa.Column(
        "submission_key",
        sa.Text(),
        sa.ForeignKey("submissions.submission_key"),
        nullable=False,
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _instant(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)
