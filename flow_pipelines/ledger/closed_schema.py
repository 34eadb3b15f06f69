"""Tables of closed nights: what a ledger keeps of a night whose rows were pruned.

The night's own row stays, with its counts. Its submissions, and what refers to them, are in the
bucket's archive; a trigger in the database refuses further ones, whatever version plans them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
)

from flow_pipelines.ledger.column_types import Instant, JsonText, MicroUsd, PlainText, Words
from flow_pipelines.ledger.schema import metadata


def _required(name: str, kind: type | object, *, key: bool = False) -> Column[object]:
    return Column(name, kind, primary_key=key, nullable=False)  # type: ignore[arg-type]


def _night_key() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["batch", "partition_key"], ["nights.batch", "nights.partition_key"]
    )


closed_nights = Table(
    "closed_nights",
    metadata,
    _required("batch", Text, key=True),
    _required("partition_key", Text, key=True),
    # `s3://bucket/key` of the document that names the archive's files.
    _required("archive", Text),
    # SHA-256 over all archived rows.
    _required("digest", Text),
    # The ledgers that wrote its intents: callback addresses name them.
    _required("ledger_ids", JsonText),
    _night_key(),
)

closed_sums = Table(
    "closed_sums",
    metadata,
    # What `ledger.sums` sums over submissions, in as many parts as it tells apart.
    _required("batch", Text, key=True),
    _required("partition_key", Text, key=True),
    _required("generation", Integer, key=True),
    _required("state", Text, key=True),
    _required("provider", Text, key=True),
    _required("resource", Text, key=True),
    # UTC days from 1970 to the intent; −1: there was none.
    _required("day", Integer, key=True),
    _required("rows", Integer),
    _required("runs", Integer),
    _required("cost_usd", MicroUsd),
    _required("estimated_usd", MicroUsd),
    _required("reserved_usd", MicroUsd),
    _required("runs_cost_unknown", Integer),
    _required("images", Integer),
    _required("flotime_ms", BigInteger),
    # Of the first of them, as the following are.
    _required("planned_at", Instant),
    Column("bought_at", Instant),
    _required("ends", Integer),
    Column("first_end_at", Instant),
    Column("last_end_at", Instant),
    _night_key(),
    Index("ix_closed_sums_day", "day"),
    Index("ix_closed_sums_planned", "planned_at"),
)

closed_runs = Table(
    "closed_runs",
    metadata,
    _required("submission_key", Text, key=True),
    _required("batch", Text),
    _required("partition_key", Text),
    _required("provider", Text),
    Column("provider_run_id", PlainText),
    _night_key(),
)
_run = closed_runs.c
Index(
    "ux_closed_runs_run",
    _run.provider,
    _run.provider_run_id,
    unique=True,
    sqlite_where=_run.provider_run_id.is_not(None),
    postgresql_where=_run.provider_run_id.is_not(None),
)

late_runs = Table(
    "late_runs",
    metadata,
    # Runs that callbacks named for submissions of a closed night: its second runs of before, and
    # what was told since, also of the run that a submission has.
    Column("submission_key", Text, ForeignKey(_run.submission_key), primary_key=True),
    _required("provider_run_id", PlainText, key=True),
    _required("batch", Text),
    _required("partition_key", Text),
    _required("provider", Text),
    _required("heard_at", Instant),
    # What a person found out about it; empty until then, and for the submission's own run.
    Column("settled_why", Words),
    _night_key(),
    Index("ix_late_runs_night", "batch", "partition_key", "heard_at"),
    Index("ix_late_runs_run", "provider", "provider_run_id"),
)
