"""One scenario as it is watched: who holds which night, who went on, and whether all is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from flow_pipelines.cli.processes import ServiceFailed
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger.records import Lease
from flow_pipelines.lifecycle.requests import label_of
from flow_pipelines.model import Night, NightRecord, SubmissionState
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.model.states import UNDER_WAY
from flow_pipelines.providers import profile
from flow_pipelines.sandbox.meter import Reading
from flow_pipelines_tests.cluster.holders import PARTS, Holders, Part
from flow_pipelines_tests.cluster.hosts import Cluster
from flow_pipelines_tests.dagster.backfills import backfill_status

SETTLED_SECONDS = 45.0
"""What no sensor could settle by then, a person has to."""
LONGEST_SECONDS = 200.0
"""A copy that replays is sent two minutes after the first at the earliest."""
_SENDING = frozenset({SubmissionState.SUBMITTING})
T = TypeVar("T")


class TimedOut(Exception):
    """Something did not happen in time; the text says what."""


@dataclass
class Trial:
    """The nights of one scenario, and what the meters said before."""

    cluster: Cluster
    nights: Sequence[Night]
    limit_seconds: float
    went_on: dict[str, float] = field(default_factory=dict)
    """Lease of an interrupted piece of work → seconds until somebody went on with it."""

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.began_at = self.clock.monotonic()
        self.before: Mapping[str, Reading] = self.cluster.control.state()
        self.run_ids_before = {run.id for run in self.cluster.control.runs()}
        self.holders = Holders(self.cluster, self.nights)
        self._interrupted_at = 0.0
        self._interrupted: dict[str, datetime] = {}

    def wait_for(self, what: str, look: Callable[[], T | None], *, every_seconds: float = 0.5) -> T:
        """Wait until `look` sees something. Raises: TimedOut, ServiceFailed."""
        while True:
            self.cluster.keep_services_up()
            self.cluster.children.check()
            self._notice()
            # The database may be away, and that may be the very point.
            with suppress(FlowPipelinesError, SQLAlchemyError):
                found = look()
                if found:
                    return found
            if self.clock.monotonic() - self.began_at > self.limit_seconds:
                raise TimedOut(what)
            self.clock.sleep(every_seconds)

    def wait_for_holder(self, part: Part, *, after_rows: int, whose: str | None = None) -> str:
        """Wait until a host is in the middle of this part of a night; return its name."""

        def look() -> str | None:
            for night, host in self.holders.of(part):
                record = self.cluster.ledger.night(night)
                if host != (whose or host) or record is None:
                    continue
                left = record.counts.get(SubmissionState.PLANNED, 0)
                done, left = (
                    (record.sent, left)
                    if part == "submitting"
                    else (self.stored_of(record), record.uncollected)
                )
                if done >= after_rows and left >= 2:
                    return host
            return None

        return self.wait_for(f"a host in the middle of {part}", look)

    def wait_for_open_answer(self, host: str) -> None:
        """Wait until a row of this host is at the provider and its receipt is not written yet.

        The faults of `slow_submits` leave two seconds for what is to happen just then.
        """

        def look() -> bool:
            made = {run.label for run in self.cluster.control.runs()}
            return any(
                label_of(row, row.intent_ledger_id) in made
                for night, holder in self.holders.of("submitting")
                for row in self.cluster.ledger.submissions(night, states=_SENDING)
                if holder == host
            )

        self.wait_for("a row whose answer is under way", look, every_seconds=0.1)

    def interrupted(self, host: str) -> None:
        """Note what this host holds just now: from here on it counts until somebody goes on."""
        self._interrupted_at = self.clock.monotonic()
        for part, (lease_of, _) in PARTS.items():
            for night, holder in self.holders.of(part):
                held = self.cluster.ledger.lease(lease_of(night))
                if holder == host and held is not None:
                    self._interrupted[held.name] = held.expires_at

    def interrupted_everywhere(self) -> None:
        """Note what any host holds."""
        for host in {host for part in PARTS for _, host in self.holders.of(part)}:
            self.interrupted(host)

    def wait_until_whole(self) -> None:
        """Wait until every night is stored and in its tables, but for what is unresolved."""
        since: float | None = None

        def look() -> bool:
            nonlocal since
            records = [self.cluster.ledger.night(night) for night in self.nights]
            if not all(record is not None and self._is_stored(record) for record in records):
                since = None
                return False
            self._all_go_on()
            now = self.clock.monotonic()
            since = now if since is None else since
            unresolved = [
                record
                for record in records
                if record and record.counts.get(SubmissionState.UNRESOLVED)
            ]
            patience = max((self._patience(record) for record in unresolved), default=0.0)
            return now - since >= patience

        self.wait_for("all nights stored", look)

    def wait_for_backfill(self, backfill: str) -> str:
        """Wait until Dagster calls the backfill ended; return how."""
        web = self.cluster.webserver

        def look() -> str | None:
            status = backfill_status(web, backfill)
            return None if status in {"REQUESTED", "CANCELING", "FAILING"} else status

        return self.wait_for(f"the end of backfill {backfill}", look)

    def stored_of(self, record: NightRecord) -> int:
        return record.counts.get(SubmissionState.SUCCEEDED, 0) - record.uncollected

    def _is_stored(self, record: NightRecord) -> bool:
        busy = any(record.counts.get(state) for state in UNDER_WAY)
        return not busy and not record.uncollected and record.revision == record.collected_revision

    def _patience(self, record: NightRecord) -> float:
        """Return how long unresolved rows may still be settled without a person."""
        can = profile(record.provider).capabilities
        if can.replays:
            return LONGEST_SECONDS
        return SETTLED_SECONDS if can.find else 0.0

    def _notice(self) -> None:
        """Look whether somebody went on with what was interrupted."""
        for name, expired_at in list(self._interrupted.items()):
            held: Lease | None = None
            with suppress(FlowPipelinesError, SQLAlchemyError):
                held = self.cluster.ledger.lease(name)
            if held is not None and held.expires_at > expired_at:
                self._goes_on(name)

    def _all_go_on(self) -> None:
        for name in list(self._interrupted):
            self._goes_on(name)

    def _goes_on(self, name: str) -> None:
        del self._interrupted[name]
        self.went_on[name] = self.clock.monotonic() - self._interrupted_at


def failed(error: Exception) -> str:
    """Return in words why a scenario did not come to its end."""
    if isinstance(error, TimedOut):
        return f"timed out waiting for {error}"
    if isinstance(error, ServiceFailed):
        return str(error).splitlines()[0]
    return f"{type(error).__name__}: {error}"
