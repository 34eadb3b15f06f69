"""The part of the ledger's contract about how long runs take and how much is under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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


class RunTimes(Protocol):
    """What was measured; see `contract.RunLedger`."""

    def run_times(self, provider: str, workflow_version: str) -> Sequence[RunTime]:
        """Return what is kept of a workflow's runs that succeeded: some hundred, mostly the latest.

        `record_poll` keeps one for each: from the last poll that found it at work, or the time
        that the provider says it ran, to the poll that found its end.
        """

    def workload(self, resource: str) -> Workload:
        """Return what waits to be submitted with an account, and what is in flight."""
