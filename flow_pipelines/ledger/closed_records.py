"""What the ledger tells of closed nights, and what it is told to close one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from flow_pipelines.model import Night


@dataclass(frozen=True, kw_only=True)
class NightArchive:
    """What the bucket's archive says of a night: enough to close it in any ledger."""

    night: Night
    place: str
    """`s3://bucket/key` of the document that says so."""
    digest: str
    """SHA-256 over all archived rows."""
    ledger_ids: tuple[str, ...]
    """The ledgers that wrote its intents, or archived it."""
    row: Mapping[str, Any] = field(repr=False)
    """The night's own row."""
    sums: Sequence[Mapping[str, Any]] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ClosedNight:
    """A night that was pruned, as the ledger has it."""

    night: Night
    archive: str
    """`s3://bucket/key` of the document that names the archive's files."""
    digest: str
    ledger_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClosedLine:
    """A closed night in a line: counts, money and time of all it bought."""

    night: Night
    closed_at: datetime
    counts: Mapping[str, int]
    """By state."""
    images: int
    flotime_ms: int
    cost_usd: Decimal
    runs_cost_unknown: int
    by_account: Mapping[str, Decimal]
    """Its cost by resource key."""


@dataclass(frozen=True, kw_only=True)
class ClosedSubmission:
    """A submission of a closed night: its archive has the rest."""

    submission_key: str
    night: Night
    provider: str
    provider_run_id: str | None


@dataclass(frozen=True, kw_only=True)
class LateRun:
    """A run that a callback named for a submission of a closed night."""

    submission_key: str
    provider_run_id: str
    is_its_own: bool
    """It is the one that the submission has: nothing new."""
    heard_at: datetime
    settled_why: str | None


Rows = Iterable[Mapping[str, Any]]
"""Archived rows of `submissions`."""
