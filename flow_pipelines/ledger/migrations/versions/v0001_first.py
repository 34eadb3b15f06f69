"""The ledger's first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, those that others refer to first."""
    _ledger_meta()
    _workflows()
    _nights()
    _prompt_rows()
    _submissions()
    _outputs()
    _regenerations()
    _settlements()
    _budget_days()
    _leases()
    _switches()
    _account_stops()
    _pace()


def _required(kind: type[sa.types.TypeEngine[Any]], names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=False) for name in names.split()]


def _optional(kind: type[sa.types.TypeEngine[Any]], names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=True) for name in names.split()]


def _partial(name: str, *columns: str, unique: bool = False) -> None:
    """Index submissions by `columns`, those alone that have the last of them."""
    where = sa.text(f"{columns[-1]} IS NOT NULL")
    op.create_index(
        name,
        "submissions",
        list(columns),
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )


def _ledger_meta() -> None:
    op.create_table(
        "ledger_meta",
        *_required(sa.Text, "name value"),
        sa.PrimaryKeyConstraint("name"),
    )


def _workflows() -> None:
    op.create_table(
        "workflows",
        *_required(sa.Text, "version content"),
        *_required(sa.BigInteger, "saved_at"),
        sa.PrimaryKeyConstraint("version"),
    )


def _nights() -> None:
    op.create_table(
        "nights",
        *_required(sa.Text, "batch partition_key provider resource workflow"),
        *_required(sa.Text, "workflow_version location latest_plan"),
        *_required(sa.Float, "run_timeout_seconds"),
        *_required(sa.Integer, "generation stale submit_attempts collect_attempts uncollected"),
        *_required(sa.Integer, "count_planned count_skipped count_submitting count_unresolved"),
        *_required(sa.Integer, "count_submitted count_queued count_running count_succeeded"),
        *_required(sa.Integer, "count_failed count_canceled"),
        *_required(sa.BigInteger, "revision collected_revision changed_at reserved_usd"),
        *_required(sa.Boolean, "attention"),
        *_optional(sa.BigInteger, "frozen_at marked_at submit_requested_at collect_requested_at"),
        *_optional(sa.Text, "backfill_id"),
        *_optional(sa.Integer, "submit_goal"),
        sa.PrimaryKeyConstraint("batch", "partition_key"),
    )
    op.create_index("ix_nights_attention", "nights", ["attention", "batch", "changed_at"])


def _prompt_rows() -> None:
    op.create_table(
        "prompt_rows",
        *_required(sa.Text, "batch partition_key prompt_id prompt values content_hash"),
        *_required(sa.Integer, "position row_number"),
        *_optional(sa.Text, "seed"),
        sa.PrimaryKeyConstraint("batch", "partition_key", "position"),
        sa.ForeignKeyConstraint(
            ["batch", "partition_key"], ["nights.batch", "nights.partition_key"]
        ),
    )


def _submissions() -> None:
    op.create_table(
        "submissions",
        *_required(sa.Text, "submission_key batch partition_key prompt_id prompt provider"),
        *_required(sa.Text, "resource workflow workflow_version parameters content_hash"),
        *_required(sa.Text, "request_hash state cost_basis"),
        *_required(sa.Integer, "row_number copy generation polls"),
        *_optional(sa.Text, "seed reason provider_run_id provider_status error_code"),
        *_optional(sa.Text, "error_message dagster_run_id claimed_by"),
        *_required(sa.Boolean, "stale"),
        *_required(sa.BigInteger, "planned_at reserved_usd"),
        *_optional(sa.BigInteger, "submitting_at submitted_at finished_at next_poll_at run_ms"),
        *_optional(sa.BigInteger, "flotime_ms cost_usd collected_at claim_expires_at"),
        sa.PrimaryKeyConstraint("submission_key"),
        sa.ForeignKeyConstraint(
            ["batch", "partition_key"], ["nights.batch", "nights.partition_key"]
        ),
    )
    op.create_index("ix_submissions_batch", "submissions", ["batch", "planned_at"])
    _partial("ix_submissions_claim", "claimed_by")
    _partial("ix_submissions_due", "provider", "next_poll_at")
    op.create_index(
        "ix_submissions_night",
        "submissions",
        ["batch", "partition_key", "row_number", "copy", "generation"],
    )
    op.create_index("ix_submissions_partition", "submissions", ["partition_key", "planned_at"])
    op.create_index("ix_submissions_planned", "submissions", ["planned_at"])
    op.create_index("ix_submissions_provider", "submissions", ["provider", "planned_at"])
    op.create_index("ix_submissions_state", "submissions", ["state", "planned_at"])
    op.create_index(
        "ux_submissions_row",
        "submissions",
        ["batch", "partition_key", "prompt_id", "copy", "generation"],
        unique=True,
    )
    _partial("ux_submissions_run", "provider", "provider_run_id", unique=True)


def _outputs() -> None:
    op.create_table(
        "outputs",
        *_required(sa.Text, "submission_key output_id kind"),
        *_required(sa.Integer, "output_index attempts"),
        *_optional(sa.Text, "file_name s3_key media_type sha256 problem"),
        *_optional(sa.BigInteger, "size_bytes stored_at"),
        *_optional(sa.Integer, "width height"),
        sa.PrimaryKeyConstraint("submission_key", "output_index"),
        sa.ForeignKeyConstraint(["submission_key"], ["submissions.submission_key"]),
    )
    op.create_index("ux_outputs_id", "outputs", ["submission_key", "output_id"], unique=True)


def _regenerations() -> None:
    op.create_table(
        "regenerations",
        *_required(sa.Text, "batch partition_key requested_by scope"),
        *_required(sa.Integer, "generation rows"),
        *_required(sa.BigInteger, "created_at"),
        sa.PrimaryKeyConstraint("batch", "partition_key", "requested_by"),
        sa.ForeignKeyConstraint(
            ["batch", "partition_key"], ["nights.batch", "nights.partition_key"]
        ),
    )


def _settlements() -> None:
    op.create_table(
        "settlements",
        *_required(sa.Integer, "id"),
        *_required(sa.Text, "submission_key action who why"),
        *_required(sa.BigInteger, "at"),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["submission_key"], ["submissions.submission_key"]),
    )
    op.create_index("ix_settlements_submission_key", "settlements", ["submission_key"])


def _budget_days() -> None:
    op.create_table(
        "budget_days",
        *_required(sa.Text, "provider day"),
        *_required(sa.BigInteger, "reserved_usd"),
        sa.PrimaryKeyConstraint("provider", "day"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        *_required(sa.Text, "name owner"),
        *_required(sa.BigInteger, "expires_at"),
        sa.PrimaryKeyConstraint("name"),
    )


def _switches() -> None:
    op.create_table(
        "switches",
        *_required(sa.Text, "name who why"),
        *_required(sa.BigInteger, "at"),
        sa.PrimaryKeyConstraint("name"),
    )


def _account_stops() -> None:
    op.create_table(
        "account_stops",
        *_required(sa.Text, "resource code message"),
        *_required(sa.BigInteger, "at"),
        sa.PrimaryKeyConstraint("resource"),
    )


def _pace() -> None:
    op.create_table(
        "pace",
        *_required(sa.Text, "key"),
        *_optional(sa.BigInteger, "rested_at held_until"),
        sa.PrimaryKeyConstraint("key"),
    )
