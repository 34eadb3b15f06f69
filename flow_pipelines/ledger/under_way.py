"""The part of the ledger's contract about what is at providers, or may be.

`provider` and `resource` name the account that a submission was sent with. `location` leaves out
the batches that another code location has (`claim_batch`); None, as in a process outside any,
leaves out none. Whether a batch is still defined anywhere makes no difference.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from flow_pipelines.ledger.records import Account, Outstanding, PlannedFor
from flow_pipelines.model import Night, NightRecord, Submission


class UnderWay(Protocol):
    """What is to be polled, looked for or stored; see `contract.RunLedger`."""

    def keep_account(self, resource: str, provider: str, identity: frozenset[str]) -> Account:
        """Keep what a resource key stands for, unless that is known; return what is kept.

        An identity that was not told the first time is added.
        """

    def forget_account(self, resource: str) -> Account | None:
        """Forget what a resource key stood for, and return it: a person's decision."""

    def planned_for(self, night: Night) -> Sequence[PlannedFor]:
        """Return what a night has planned, by provider and workflow version."""

    def nights_besides(
        self, batches: Collection[str], *, location: str | None = None, limit: int = 200
    ) -> Sequence[NightRecord]:
        """Return nights as `nights_to_do` does, of all batches but these: those of no code, too."""

    def outstanding(
        self, *, location: str | None = None, night: Night | None = None
    ) -> Sequence[Outstanding]:
        """Return what is in flight or unresolved, by provider, account and batch."""

    def park_abandoned(
        self, *, location: str | None = None, night: Night | None = None, owner: str = ""
    ) -> Sequence[Submission]:
        """submitting → unresolved for all whose night's submit lease is free: their process died
        between intent and receipt. Gives what it parked.

        `night`: of this one only. `owner` has sent nothing yet: what is being sent under its own
        lease is of a process before it that died.
        """

    def unresolved(
        self,
        *,
        provider: str,
        resource: str,
        location: str | None = None,
        night: Night | None = None,
        limit: int = 100,
    ) -> Sequence[Submission]:
        """Return an account's unresolved submissions, the oldest intent first."""

    def claim_due(  # noqa: PLR0913 - what narrows it, each by its name
        self,
        owner: str,
        *,
        provider: str,
        resource: str,
        location: str | None = None,
        night: Night | None = None,
        limit: int = 20,
        ttl_seconds: float = 60.0,
    ) -> Sequence[Submission]:
        """Claim an account's in-flight submissions whose `next_poll_at` has come, the longest due
        first.

        A claim hides them from every other `owner` for `ttl_seconds`, until `record_poll` or
        `release_claims`. PostgreSQL: concurrent claims do not wait for each other.
        """

    def next_due_at(
        self,
        *,
        provider: str,
        resource: str,
        location: str | None = None,
        night: Night | None = None,
    ) -> datetime | None:
        """Return when the next of them falls due; None when none is in flight."""

    def in_flight(
        self, *, provider: str, resource: str, location: str | None = None, limit: int = 20
    ) -> Sequence[Submission]:
        """Return submissions in flight, the next due first. Claims nothing."""
