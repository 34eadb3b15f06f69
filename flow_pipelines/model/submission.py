"""What is bought: batches, nights, rows, submissions and regenerations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from flow_pipelines.model.states import NOT_SENT, SubmissionState

Value = str | int | float | bool | None
"""A cell of a prompt table, or a parameter's value once rendered."""

_MICRO_USD = Decimal("0.000001")

UNPARTITIONED = "all"
"""Partition key of a batch without partitions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFormat:
    """What a person says of a prompt table's file, where the file itself does not tell."""

    delimiter: str | None = None
    """Between the cells of a line; None: told from the header line."""
    encoding: str | None = None
    """None: UTF-8."""
    comment: str | None = None
    """Lines that begin so count as blank; None: no line does."""


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """A prompt batch as `defs.yaml` gives it, without anything of Dagster."""

    name: str
    provider: str
    resource: str
    workflow: str
    """File (relative to `base_dir`), s3:// URI, workflow id or slug: the provider knows which."""
    base_dir: str = "."
    """Folder of the batch's `defs.yaml`; relative files are read from here."""
    prompts: str | None = None
    """Prompt table: file relative to `base_dir` or s3:// URI, may hold `{partition_key}`;
    None: the table comes from an upstream asset."""
    table_format: TableFormat = TableFormat()
    prompts_asset: str | None = None
    """Key of the upstream asset, slash separated."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Provider parameter → template (text) or literal (anything else)."""
    defs_file: str | None = None
    """Path of the `defs.yaml`, for messages; None when built in Python."""
    defs_name: str | None = None
    """Name of the component there, where it is not the batch's own."""
    defs_path: tuple[str | int, ...] = ()
    """Where below `attributes` the batch is written; empty: it is all of them."""
    time_partitioned: bool = False
    runs_per_prompt: int = 1
    budget_usd: Decimal | None = None
    """Of one partition."""
    daily_budget_usd: Decimal | None = None
    """Of the provider over all batches, by UTC day of the intent."""
    price_usd_per_run: Decimal | None = None
    """Where the provider states no price."""
    run_timeout_seconds: float = 3600.0
    inline_wait_seconds: float = 600.0
    allow_identical: bool = False
    empty_cells: Collection[str] | None = ()
    """Columns whose cells may be empty where a template uses them; None: every column."""
    stop_after_failures: int = 10
    """When the first so many ended provider runs all failed, nothing more is sent."""


class Night(NamedTuple):
    """One partition of one prompt batch."""

    batch: str
    partition_key: str

    def __str__(self) -> str:
        """Return `batch/partition_key`."""
        return f"{self.batch}/{self.partition_key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptRow:
    """One validated row of a prompt table."""

    prompt_id: str
    """Identity of the row within its night, as written; in paths `batches.keys.path_safe` of it."""
    row_number: int
    """0-based position in the table."""
    prompt: str
    """What people are shown; empty when the table has no `prompt` column."""
    seed: int | None
    """An explicit `seed` column's value; None: derived per night, copy and generation."""
    values: Mapping[str, Value]
    """Every column as read, the special ones included."""
    content_hash: str = ""
    """Hash of everything a request is made from but the derived seed: the row's values, the
    parameter templates and the workflow's version. A change of it makes the row stale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRow:
    """One row × one copy × one generation, rendered: what a submission will buy."""

    submission_key: str
    prompt_id: str
    row_number: int
    copy: int
    """0 … runs_per_prompt − 1."""
    generation: int
    prompt: str
    seed: int | None
    """The seed in effect; None where no `{seed}` is used and no column gives one."""
    parameters: Mapping[str, Any]
    """Provider parameter → typed value, exactly as it will be sent."""
    content_hash: str
    """`PromptRow.content_hash` at the time of planning."""
    request_hash: str
    """Hash of the rendered request, derived seed included."""


@dataclass(frozen=True, kw_only=True)
class NightPlan:
    """What a night's rows have in common, frozen when they are planned."""

    night: Night
    provider: str
    resource: str
    """Dagster resource key: names the account that pays."""
    workflow: str
    """As the batch names it: file, URI, workflow id or slug."""
    workflow_version: str
    """Key of the frozen workflow in the ledger."""
    run_timeout_seconds: float
    location: str = ""
    """Dagster code location that owns the batch; empty outside Dagster."""


class CostBasis(StrEnum):
    """How a cost came to be known."""

    CHARGED = "charged"
    ESTIMATED = "estimated"
    FREE = "free"
    """It cost nothing, as the provider documents of such an end."""
    UNKNOWN = "unknown"


class Cost(NamedTuple):
    """What a provider run cost, and how that is known."""

    amount_usd: Decimal | None
    """None exactly where the basis is unknown."""
    basis: CostBasis

    @classmethod
    def of(cls, amount_usd: Decimal | None, basis: CostBasis) -> Cost:
        """Return a cost rounded as the ledger keeps it; an unknown one for None."""
        if amount_usd is None:
            return cls(None, CostBasis.UNKNOWN)
        return cls(amount_usd.quantize(_MICRO_USD), basis)


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A submission as the ledger has it. All times are UTC-aware, all money is USD."""

    submission_key: str
    night: Night
    prompt_id: str
    row_number: int
    copy: int
    generation: int
    prompt: str
    seed: int | None
    provider: str
    resource: str
    """The account: as planned, and from the intent on the one that it was sent with, for good."""
    workflow: str
    workflow_version: str
    parameters: Mapping[str, Any]
    content_hash: str
    request_hash: str
    state: SubmissionState
    stale: bool = False
    """The row changed in, or went from, the prompt table since it was planned."""
    reason: str | None = None
    """Why it is skipped, canceled, parked or back to planned, in words."""
    provider_run_id: str | None = None
    provider_status: str | None = None
    """The provider's own word, last seen."""
    error_code: str | None = None
    error_message: str | None = None
    planned_at: datetime
    submitting_at: datetime | None = None
    """When the intent was written, last."""
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    """When the provider says that the run ended; when we saw it, where it does not say."""
    next_poll_at: datetime | None = None
    polls: int = 0
    asked_at: datetime | None = None
    """When a poll last found it at work."""
    run_ms: int | None = None
    """From the provider's start to its end; from submission to end where it says no more."""
    flotime_ms: int | None = None
    cost_usd: Decimal | None = None
    cost_basis: CostBasis = CostBasis.UNKNOWN
    reserved_usd: Decimal = Decimal(0)
    """What it counts against budgets: the estimate from the intent on, then the cost."""
    collected_at: datetime | None = None
    """When every output was in the bucket; None for a succeeded run means: not yet."""
    dagster_run_id: str | None = None
    """The Dagster run that wrote the intent."""
    intents: int = 0
    """How many intents were ever written for it; the last one is what the other fields tell of."""
    intent_ledger_id: str | None = None
    """The ledger that wrote the last intent: part of its label, callback address and idempotency
    key. None: no intent yet, or one of a version that did not send the ledger's id."""
    estimate_usd: Decimal | None = None
    """What the run of the last intent was to cost, 0 included; None: nobody knew, or the intent is
    of a version that kept the reservation only."""
    body_sha256: str | None = None
    """Of the body of the last intent's POST; None for intents of a version that did not keep it."""
    waits_for: int = 0
    """Sent only once its night was asked for so often (`NightRecord.asks`)."""
    refusal: str | None = None
    """How its last intent was refused (`RequestRejected.kind`), whatever became of it; None: it was
    not, or by a version that did not keep it."""

    @property
    def run_ms_is_bound(self) -> bool:
        """Return whether the run took `run_ms` at most: it counts from submission to end."""
        if self.run_ms is None or self.finished_at is None or self.submitted_at is None:
            return False
        since = max(self.finished_at - self.submitted_at, timedelta())
        return self.run_ms == since // timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Regeneration:
    """A purchase of rows of a night again, on purpose: bought once per `requested_by`."""

    night: Night
    generation: int
    requested_by: str
    """Dagster backfill id, else the root Dagster run id: retries share it."""
    scope: str
    """JSON of what was asked: `failed`, `changed`, `all` or `{"prompt_ids": […]}`."""
    created_at: datetime
    rows: int
    """How many submissions it planned."""


@dataclass(frozen=True, kw_only=True)
class NightRecord:
    """A night as the ledger has it."""

    night: Night
    provider: str
    resource: str
    workflow: str
    workflow_version: str
    run_timeout_seconds: float
    location: str
    generation: int
    """Highest generation planned so far."""
    revision: int
    """Raised by every change of one of its submissions or outputs."""
    collected_revision: int
    """`revision` when its tables were last written; equal means: nothing new to collect."""
    marked_at: datetime | None
    """When the bucket was told that this night is being bought (before the first POST)."""
    backfill_id: str | None
    """`dagster/backfill` of the Dagster run that submitted last."""
    submit_goal: int | None = None
    """How many submissions may be sent in all until somebody asks again; None: all planned."""
    asks: int = 0
    """How often a person, schedule or backfill asked to buy it."""
    stopped: str | None = None
    """Why nothing more is sent before the next of them: a fault that its rows seem to share."""
    held: int = 0
    """Planned rows that wait for the next of them: `prompts` planned them since the last."""
    stale: int = 0
    """Stale submissions, plus rows of the table that the frozen night does not have."""
    submit_attempts: int
    """How many Dagster runs a sensor asked for to go on submitting, since the last receipt."""
    submit_requested_at: datetime | None
    collect_attempts: int
    """How many Dagster runs a sensor asked for to collect, since the last success."""
    collect_requested_at: datetime | None
    counts: Mapping[SubmissionState, int] = field(default_factory=dict)
    """Submissions by state, all generations; states with none are absent."""
    uncollected: int = 0
    """Succeeded submissions whose outputs are not all stored."""
    closed_at: datetime | None = None
    """When it was pruned: its rows are in the bucket's archive, its counts stay; None: open."""

    @property
    def sent(self) -> int:
        """Count the submissions that were sent and not canceled since (`submit_goal`)."""
        return sum(count for state, count in self.counts.items() if state not in NOT_SENT)
