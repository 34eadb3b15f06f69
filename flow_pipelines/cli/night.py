"""The nights of a demo: what the schedules ask for, and how far the ledger says each has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.webserver import RunRequest, Schedule, Webserver
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines.model.states import UNFINISHED
from flow_pipelines.resources.image_store import DEFAULT_PREFIX
from flow_pipelines.resources.run_ledger import FILE_NAME


@dataclass(frozen=True)
class NightResult:
    """What became of a night."""

    night: Night
    provider: str
    runs: int
    images: int
    failed: int
    flotime_ms: int
    cost_usd: Decimal
    folder: str
    bought_now: bool
    """False: an earlier demo bought it."""


@dataclass
class NightOfDemo:
    """One night that a schedule asked for."""

    night: Night
    schedule: Schedule
    request: RunRequest
    bought_now: bool = False
    run_id: str | None = None

    def is_done(self, ledger: RunLedger) -> bool:
        """Return whether everything is bought, in the bucket and written into the tables."""
        record = ledger.night(self.night)
        if record is None or any(record.counts.get(state) for state in UNFINISHED):
            return False
        return record.uncollected == 0 and record.revision == record.collected_revision

    def result(self, ledger: RunLedger, environment: Mapping[str, str]) -> NightResult:
        """Sum up what the ledger knows."""
        lines = [line for line in ledger.cost_lines([self.night.batch]) if line.night == self.night]
        record = ledger.night(self.night)
        bucket = environment["FLOW_PIPELINES_BUCKET"]
        return NightResult(
            night=self.night,
            provider=record.provider if record else "–",
            runs=sum(line.runs for line in lines),
            images=sum(line.images for line in lines),
            failed=sum(line.failed for line in lines),
            flotime_ms=sum(line.flotime_ms for line in lines),
            cost_usd=sum((line.cost_usd for line in lines), Decimal(0)),
            folder=f"s3://{bucket}/{DEFAULT_PREFIX}/{self.night}/",
            bought_now=self.bought_now,
        )


def find_nights(webserver: Webserver) -> Sequence[NightOfDemo]:
    """Return the nights that the schedules asked for, or would have, when they were due last."""
    return [
        NightOfDemo(
            Night(schedule.name.removesuffix("_schedule"), request.partition_key),
            schedule,
            request,
        )
        for schedule in webserver.schedules()
        for request in webserver.evaluate(schedule)
        if request.partition_key
    ]


def open_demo_ledger(home: Home, clock: Clock) -> RunLedger:
    """Open the ledger that the demo's Dagster works with."""
    return open_ledger(f"sqlite:///{home.dagster.resolve() / FILE_NAME}", clock)


def is_cut(home: Home, clock: Clock) -> bool:
    """Return whether an earlier demo left something in flight, or not yet stored."""
    if not (home.dagster / FILE_NAME).exists():
        return False
    ledger = open_demo_ledger(home, clock)
    if any(ledger.search(state=state, limit=1) for state in UNFINISHED - {SubmissionState.PLANNED}):
        return True
    succeeded = ledger.search(state=SubmissionState.SUCCEEDED, limit=1000)
    return any(one.collected_at is None for one in succeeded)
