"""The ledger's tables. Every query of this package is answered by one of the indexes here.

A night keeps its own counts and the sum of its reservations: they are changed in the transaction
that changes the submission, under the night's lock, so a budget or a sensor reads one row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

from flow_pipelines.ledger.column_types import (
    Instant,
    JsonText,
    MicroUsd,
    PlainText,
    WholeNumber,
    Words,
)
from flow_pipelines.model import SubmissionState

metadata = MetaData()
ASK_COUNTS = ("asks", "held", "ask_accepted", "ask_succeeded", "ask_failed")
"""Per night: number of buy requests; planned rows waiting for the next one; rows accepted,
succeeded and failed since the last one."""


def _required(name: str, kind: type | object, *, key: bool = False) -> Column[object]:
    return Column(name, kind, primary_key=key, nullable=False)  # type: ignore[arg-type]


def _partial_index(
    name: str, condition: ColumnElement[bool], *columns: Column[object], unique: bool = False
) -> None:
    """Index only the rows that meet a condition."""
    Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _night_key() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["batch", "partition_key"], ["nights.batch", "nights.partition_key"]
    )


ledger_meta = Table(
    "ledger_meta", metadata, _required("name", Text, key=True), _required("value", Text)
)

workflows = Table(
    "workflows",
    metadata,
    _required("version", Text, key=True),
    _required("content", Text),
    _required("saved_at", Instant),
)

nights = Table(
    "nights",
    metadata,
    _required("batch", Text, key=True),
    _required("partition_key", Text, key=True),
    _required("provider", Text),
    _required("resource", Text),
    _required("workflow", Text),
    _required("workflow_version", Text),
    _required("run_timeout_seconds", Float),
    _required("location", Text),
    # The NightPlan of the newest `plan`: what a regeneration is bought with.
    _required("latest_plan", JsonText),
    _required("generation", Integer),
    _required("revision", BigInteger),
    _required("collected_revision", BigInteger),
    _required("attention", Boolean),
    _required("changed_at", Instant),
    Column("frozen_at", Instant),
    Column("marked_at", Instant),
    Column("backfill_id", Text),
    Column("submit_goal", Integer),
    *(_required(name, Integer) for name in ASK_COUNTS),
    Column("asked_by", Text),
    # Why nothing more is sent until somebody asks again.
    Column("stopped", Words),
    Column("stop_after_failures", Integer),
    _required("stale", Integer),
    _required("submit_attempts", Integer),
    Column("submit_requested_at", Instant),
    _required("collect_attempts", Integer),
    Column("collect_requested_at", Instant),
    _required("reserved_usd", MicroUsd),
    _required("uncollected", Integer),
    # When it was pruned: `ledger.closed_schema`.
    Column("closed_at", Instant),
    *(_required(f"count_{state}", Integer) for state in SubmissionState),
    Index("ix_nights_attention", "attention", "batch", "changed_at"),
    Index("ix_nights_changed", "changed_at"),
)

batch_locations = Table(
    "batch_locations",
    metadata,
    _required("batch", Text, key=True),
    # Name of the one Dagster code location that plans, buys and stores for it.
    _required("location", Text),
)

prompt_rows = Table(
    "prompt_rows",
    metadata,
    _required("batch", Text, key=True),
    _required("partition_key", Text, key=True),
    _required("position", Integer, key=True),
    _required("prompt_id", PlainText),
    _required("row_number", Integer),
    _required("prompt", PlainText),
    Column("seed", WholeNumber),
    _required("values", JsonText),
    _required("content_hash", Text),
    _night_key(),
)

submissions = Table(
    "submissions",
    metadata,
    _required("submission_key", Text, key=True),
    _required("batch", Text),
    _required("partition_key", Text),
    _required("prompt_id", PlainText),
    _required("row_number", Integer),
    _required("copy", Integer),
    _required("generation", Integer),
    _required("prompt", PlainText),
    Column("seed", WholeNumber),
    _required("provider", Text),
    _required("resource", Text),
    _required("workflow", Text),
    _required("workflow_version", Text),
    _required("parameters", JsonText),
    _required("content_hash", Text),
    _required("request_hash", Text),
    _required("state", Text),
    _required("stale", Boolean),
    Column("reason", Words),
    Column("provider_run_id", PlainText),
    Column("provider_status", Words),
    Column("error_code", Words),
    Column("error_message", Words),
    _required("planned_at", Instant),
    Column("submitting_at", Instant),
    Column("submitted_at", Instant),
    Column("finished_at", Instant),
    # In flight: the next poll; unresolved: the next search for its run; else empty.
    Column("next_poll_at", Instant),
    _required("polls", Integer),
    # When a poll last found it at work.
    Column("asked_at", Instant),
    Column("run_ms", BigInteger),
    Column("flotime_ms", BigInteger),
    Column("cost_usd", MicroUsd),
    _required("cost_basis", Text),
    _required("reserved_usd", MicroUsd),
    # What the last intent was to cost, and reserved; empty: nobody knew, or it is older than 0008.
    Column("estimate_usd", MicroUsd),
    Column("collected_at", Instant),
    Column("dagster_run_id", Text),
    _required("intents", Integer),
    Column("intent_ledger_id", Text),
    Column("body_sha256", Text),
    # The night's ask of its last intent, how many it waits for, and how that intent was refused.
    Column("ask", Integer),
    _required("waits_for", Integer),
    Column("refusal", Text),
    Column("claimed_by", Text),
    Column("claim_expires_at", Instant),
    _night_key(),
)

_s = submissions.c
# One purchase per row, copy and generation, whatever the way keys are made.
Index(
    "ux_submissions_row", _s.batch, _s.partition_key, _s.prompt_id, _s.copy, _s.generation,
    unique=True,
)  # fmt: skip
Index("ix_submissions_night", _s.batch, _s.partition_key, _s.row_number, _s.copy, _s.generation)
Index("ix_submissions_planned", _s.planned_at)
Index("ix_submissions_batch", _s.batch, _s.planned_at)
Index("ix_submissions_partition", _s.partition_key, _s.planned_at)
Index("ix_submissions_provider", _s.provider, _s.planned_at)
Index("ix_submissions_state", _s.state, _s.planned_at)
Index("ix_submissions_batch_state", _s.batch, _s.state, _s.planned_at)
Index("ix_submissions_partition_state", _s.partition_key, _s.state, _s.planned_at)
Index("ix_submissions_provider_state", _s.provider, _s.state, _s.planned_at)
_partial_index(
    "ix_submissions_due", _s.next_poll_at.is_not(None), _s.provider, _s.resource, _s.next_poll_at
)
_partial_index("ix_submissions_intent", _s.submitting_at.is_not(None), _s.submitting_at)
_partial_index(
    "ux_submissions_run",
    _s.provider_run_id.is_not(None),
    _s.provider,
    _s.provider_run_id,
    unique=True,
)
_partial_index(
    "ix_submissions_refusal", _s.refusal.is_not(None), _s.batch, _s.partition_key, _s.refusal
)
_partial_index("ix_submissions_claim", _s.claimed_by.is_not(None), _s.claimed_by)

outputs = Table(
    "outputs",
    metadata,
    Column("submission_key", Text, ForeignKey(_s.submission_key), primary_key=True),
    _required("output_index", Integer, key=True),
    _required("output_id", PlainText),
    _required("kind", Text),
    Column("file_name", PlainText),
    Column("s3_key", Text),
    Column("media_type", Text),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("stored_at", Instant),
    Column("problem", Words),
    _required("attempts", Integer),
    # Opens with the account's key only; empty once a link is of no more use.
    Column("sealed_link", Text),
    Column("bucket", Text),
    # The provider's words for it.
    Column("node", PlainText),
    Column("declared_type", PlainText),
    Column("declared_bytes", BigInteger),
    # How far the stored file was looked into, and why no further: `model.output.Verified`.
    Column("verified", Text),
    Column("verified_why", Words),
    # When something came in its place for the first time that cannot be it.
    Column("doubted_at", Instant),
    # Not fetched while at most so many bytes are stored of a file; empty: it is.
    Column("settled_above", BigInteger),
    Index("ux_outputs_id", "submission_key", "output_id", unique=True),
)
_partial_index("ix_outputs_sha256", outputs.c.sha256.is_not(None), outputs.c.sha256)

detached_outputs = Table(
    "detached_outputs",
    metadata,
    # Outputs of a provider run that a person detached: stored, and nobody's. Their indexes stay
    # taken, so that no key in the bucket is ever used for another content.
    Column("submission_key", Text, ForeignKey(_s.submission_key), primary_key=True),
    _required("output_index", Integer, key=True),
    _required("provider_run_id", PlainText),
    _required("output_id", PlainText),
    Column("bucket", Text),
    Column("s3_key", Text),
    Column("sha256", Text),
    _required("detached_at", Instant),
)

second_runs = Table(
    "second_runs",
    metadata,
    # A run that a callback proved for a submission that has another one: both may be billed.
    Column("submission_key", Text, ForeignKey(_s.submission_key), primary_key=True),
    _required("provider_run_id", PlainText, key=True),
    _required("heard_at", Instant),
    # What a person found out about it; empty until then.
    Column("settled_why", Words),
)

_r = second_runs.c
_partial_index("ix_second_runs_open", _r.settled_why.is_(None), _r.heard_at)

accounts = Table(
    "accounts",
    metadata,
    # What a resource key stood for when it was first sent with.
    _required("resource", Text, key=True),
    _required("provider", Text),
    # Ids by which the provider names the account's owner; empty where it tells none.
    _required("identity", JsonText),
    _required("seen_at", Instant),
)

night_places = Table(
    "night_places",
    metadata,
    _required("batch", Text, key=True),
    _required("partition_key", Text, key=True),
    # `s3://bucket/prefix`.
    _required("place", Text, key=True),
    _required("first_at", Instant),
    # When every intent of before was in the journal there; no POST goes out earlier.
    Column("journaled_at", Instant),
    _night_key(),
)

regenerations = Table(
    "regenerations",
    metadata,
    _required("batch", Text, key=True),
    _required("partition_key", Text, key=True),
    _required("requested_by", Text, key=True),
    _required("generation", Integer),
    _required("scope", Text),
    _required("created_at", Instant),
    _required("rows", Integer),
    _night_key(),
)

settlements = Table(
    "settlements",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("submission_key", Text, ForeignKey(_s.submission_key), nullable=False, index=True),
    _required("action", Text),
    # The run that was attached or detached; empty for other decisions.
    Column("provider_run_id", PlainText),
    _required("who", Words),
    _required("why", Words),
    _required("at", Instant),
)

provider_files = Table(
    "provider_files",
    metadata,
    _required("resource", Text, key=True),
    _required("sha256", Text, key=True),
    # Id or path at the provider; never a link.
    _required("name", PlainText),
    _required("uploaded_at", Instant),
)

budget_days = Table(
    "budget_days",
    metadata,
    _required("resource", Text, key=True),
    # UTC day of the intent, YYYY-MM-DD.
    _required("day", Text, key=True),
    _required("reserved_usd", MicroUsd),
)

leases = Table(
    "leases",
    metadata,
    _required("name", Text, key=True),
    _required("owner", Text),
    _required("expires_at", Instant),
)

switches = Table(
    "switches",
    metadata,
    _required("name", Text, key=True),
    _required("who", Words),
    _required("why", Words),
    _required("at", Instant),
)

account_stops = Table(
    "account_stops",
    metadata,
    _required("resource", Text, key=True),
    _required("code", Words),
    _required("message", Words),
    _required("at", Instant),
)

run_times = Table(
    "run_times",
    metadata,
    _required("provider", Text, key=True),
    _required("workflow_version", Text, key=True),
    # A newer run takes the place of an older one: `ledger.timing`.
    _required("place", Integer, key=True),
    _required("at_least_ms", BigInteger),
    _required("at_most_ms", BigInteger),
    _required("seen_at", Instant),
)

pace = Table(
    "pace",
    metadata,
    _required("key", Text, key=True),
    # Which turns are taken: `provider.turns`.
    Column("sheet", JsonText),
    Column("held_until", Instant),
)
