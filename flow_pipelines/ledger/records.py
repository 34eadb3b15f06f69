"""Row types that ledger queries return, except submissions, nights and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypedDict

from flow_pipelines.model import Night, SubmissionState


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who may work on something, and until when."""

    name: str
    owner: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """The sign of life of one step of a Dagster run."""

    run_id: str
    step_key: str
    host: str
    process: str
    batch: str
    """Empty, as `partition_key`, where the step works on no night."""
    partition_key: str
    location: str
    """Its code location; empty in a process outside any."""


@dataclass(frozen=True, kw_only=True)
class SilentRun:
    """A Dagster run none of whose steps has given a sign of life lately."""

    run_id: str
    beat_at: datetime
    """The newest."""
    steps: tuple[Heartbeat, ...]

    @property
    def batches(self) -> frozenset[str]:
        """Return the batches that its steps worked on."""
        return frozenset(step.batch for step in self.steps if step.batch)


@dataclass(frozen=True, kw_only=True)
class RunTime:
    """How long one run took from its receipt to its end, as far as polls could tell."""

    at_least_seconds: float
    at_most_seconds: float


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What one account has before it."""

    waiting: int
    """Planned submissions of nights that somebody submits for now."""
    in_flight: int


@dataclass(frozen=True, kw_only=True)
class Pause:
    """The stop switch, while it is on."""

    who: str
    why: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class AccountStop:
    """An account that a provider refused: key, rights or credit."""

    resource: str
    code: str
    message: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What a person, or a proof, decided about a submission."""

    action: str
    """`attach`, `detach`, `key_known`, `settle_not_created` or `settle_second_run`."""
    who: str
    why: str
    at: datetime
    provider_run_id: str | None = None
    """The run that it was about; None for other decisions, and in entries of before it was kept."""


@dataclass(frozen=True, kw_only=True)
class DetachedOutput:
    """An output of a run that a person detached: it belongs to none."""

    submission_key: str
    output_index: int
    provider_run_id: str
    output_id: str
    bucket: str | None
    s3_key: str | None
    """Where it is stored, and stays; None: it never was."""
    sha256: str | None
    detached_at: datetime


@dataclass(frozen=True, kw_only=True)
class SecondRun:
    """A run that was proven for a submission that has another one: both may be billed."""

    submission_key: str
    provider_run_id: str
    heard_at: datetime
    settled_why: str | None
    """What a person found out about it; None: nobody has looked."""


@dataclass(frozen=True, kw_only=True)
class PlanOutcome:
    """What planning a night changed."""

    planned: int
    """Rows that are to be sent as they are planned now: all of a night that never sent anything;
    of another those that are new, or were mended."""
    stale: int
    """Submissions whose row changed in, or went from, the table since they were planned, plus
    rows of the table that the frozen night does not have. A submission that a newer generation
    of its row and copy replaced is not counted. Kept as `NightRecord.stale`."""


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """Sums over the submissions of one night at one provider, all generations."""

    night: Night
    provider: str
    runs: int
    """Provider runs that exist: everything that got a run id."""
    failed: int
    images: int
    flotime_ms: int
    cost_usd: Decimal
    runs_cost_unknown: int
    """Ended runs whose cost nobody knows, and submissions that may have become runs: no sum has
    them. What is still under way is not counted."""
    estimated_usd: Decimal
    """The part of `cost_usd` that is an estimate."""
    bought_at: datetime | None = None
    """When the first of them was sent; None: none was."""


@dataclass(frozen=True, kw_only=True)
class SpendLine:
    """Sums over the submissions of one batch at one provider that were sent in a span of time."""

    provider: str
    batch: str
    runs: int
    cost_usd: Decimal
    estimated_usd: Decimal
    runs_cost_unknown: int
    """As in `CostLine`."""


class SpentToday(NamedTuple):
    """What counts against the daily budget of one account, of one batch."""

    provider: str
    resource: str
    batch: str
    spent_usd: Decimal


class AccountBudget(NamedTuple):
    """What an account may spend a UTC day."""

    provider: str
    resource: str
    limit_usd: Decimal


class Tick(NamedTuple):
    """The last tick of a provider's sensor in a code location."""

    provider: str
    location: str
    """Empty outside any."""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a resource key stood for when it was first sent with."""

    resource: str
    provider: str
    identity: frozenset[str]
    """Ids by which the provider names the account; empty, where it told none."""
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class Outstanding:
    """What one account still owes one batch: runs at the provider, or of unknown outcome."""

    provider: str
    resource: str
    """The account that they were sent with."""
    batch: str
    in_flight: int
    unresolved: int
    due: int
    """Those in flight that are to be polled now."""
    due_at: datetime | None
    """When the first of those in flight is to be polled, or was."""

    @property
    def runs(self) -> int:
        """Count all of them."""
        return self.in_flight + self.unresolved


@dataclass(frozen=True, kw_only=True)
class PlannedFor:
    """What a night has planned with one workflow of one provider."""

    provider: str
    workflow: str
    workflow_version: str
    rows: int
    example: str
    """Submission key of one of them."""


class Search(TypedDict, total=False):
    """What submissions are searched by; what is absent, or None, does not narrow."""

    batch: str | None
    partition_key: str | None
    provider: str | None
    state: SubmissionState | None


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The submissions of a night that are of one generation and in one state, summed up."""

    generation: int
    state: SubmissionState
    rows: int
    cost_usd: Decimal = Decimal(0)
    """Unknown costs count nothing."""
    ends: int = 0
    """Provider runs that have ended; the first and the last of their ends follow."""
    first_end_at: datetime | None = None
    last_end_at: datetime | None = None
    last_sent_at: datetime | None = None
    """Of those at the provider: when the last of them was accepted there."""
