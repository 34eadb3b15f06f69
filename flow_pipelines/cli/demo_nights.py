"""The nights of a demo: what schedules ask for, how far each has come, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.webserver import RunRequest, Schedule, Webserver
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model import ENDED, Night, SubmissionState
from flow_pipelines.model.states import UNFINISHED
from flow_pipelines.providers import profile
from flow_pipelines.resources.image_store import DEFAULT_PREFIX
from flow_pipelines.resources.run_ledger import FILE_NAME
from flow_pipelines.sandbox.meter import Reading

_STEPS = ("submitted", "finished", "in the bucket")


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


def find_nights(webserver: Webserver) -> list[NightOfDemo]:
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


def bought_meanwhile(
    known: Sequence[NightOfDemo], due: Sequence[NightOfDemo], ledger: RunLedger
) -> list[NightOfDemo]:
    """Return the nights that schedules bought while others were watched: their hour had come."""
    before = {night.night for night in known}
    later = [one for one in due if one.night not in before and ledger.night(one.night) is not None]
    for one in later:
        one.bought_now = True
    return later


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


class Progress:
    """Three bars a night, drawn from the ledger."""

    def __init__(self, console: Console, nights: Sequence[NightOfDemo]) -> None:
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks = {
            night.night: [
                self.bars.add_task(f"{night.night} {step}", total=None) for step in _STEPS
            ]
            for night in nights
        }

    def update(self, ledger: RunLedger) -> None:
        """Draw how far each night has come."""
        for night, tasks in self._tasks.items():
            record = ledger.night(night)
            if record is None:
                continue
            counts = record.counts
            total = sum(counts.values())
            ended = sum(counts.get(state, 0) for state in ENDED)
            stored = counts.get(SubmissionState.SUCCEEDED, 0) - record.uncollected
            sent = total - counts.get(SubmissionState.PLANNED, 0)
            for task, done in zip(tasks, (sent, ended, stored), strict=True):
                self.bars.update(task, total=total, completed=done)


def print_result(
    console: Console,
    results: Sequence[NightResult],
    meters: Mapping[str, Reading],
    home: Home,
) -> bool:
    """Print what was bought; True: there are images, none failed, and the meters agree."""
    if not results:
        console.print("No schedule asks for anything: there is no night to show.")
        return False
    sessions = [
        _Session.of(name, results, meters) for name in sorted({one.provider for one in results})
    ]
    console.print(_nights(results), _meters(sessions))
    odd = [one.provider for one in sessions if not one.agrees]
    if odd:
        console.print(f"[bold red]Meter and ledger do not agree: {', '.join(odd)}.[/]")
    else:
        console.print("[green]Meters and ledger agree.[/]")
    for one in results:
        console.print(f"In the bucket: {one.folder}", soft_wrap=True)
    console.print(f"Its objects are files under {home.bucket}", soft_wrap=True)
    return not odd and all(one.images > 0 and one.failed == 0 for one in results)


@dataclass(frozen=True)
class _Session:
    """What this demo bought at one provider: what it would bill, and what the ledger says."""

    provider: str
    meter: Reading
    runs: int
    flotime_ms: int

    @classmethod
    def of(
        cls, provider: str, results: Sequence[NightResult], meters: Mapping[str, Reading]
    ) -> Self:
        bought = [night for night in results if night.provider == provider and night.bought_now]
        return cls(
            provider,
            meters.get(provider, Reading()),
            sum(night.runs for night in bought),
            sum(night.flotime_ms for night in bought),
        )

    @property
    def agrees(self) -> bool:
        """Return whether every run was billed once, none was asked for too fast, and sums match."""
        same_time = self.meter.flotime_ms == self.flotime_ms or not _tells_flotime(self.provider)
        clean = self.meter.duplicate_bills == 0 and self.meter.rate_limited == 0
        return same_time and clean and self.meter.runs_billed == self.runs

    def time(self, milliseconds: int) -> str:
        return _seconds(milliseconds) if _tells_flotime(self.provider) else "–"


def _nights(results: Sequence[NightResult]) -> Table:
    table = _table("Last night, from the ledger", ("night", "provider"))
    _add_numbers(table, ("runs", "images", "failed", "FloTime", "cost USD"))
    for one in results:
        table.add_row(
            str(one.night),
            one.provider,
            str(one.runs),
            str(one.images),
            str(one.failed),
            _seconds(one.flotime_ms) if _tells_flotime(one.provider) else "–",
            str(one.cost_usd),
        )
    return table


def _meters(sessions: Sequence[_Session]) -> Table:
    table = _table("Bought in this session: the stand-in's meter, and the ledger", ("provider",))
    _add_numbers(table, ("billed", "twice", "too fast", "FloTime", "in ledger", "FloTime"))
    for one in sessions:
        table.add_row(
            one.provider,
            str(one.meter.runs_billed),
            str(one.meter.duplicate_bills),
            str(one.meter.rate_limited),
            one.time(one.meter.flotime_ms),
            str(one.runs),
            one.time(one.flotime_ms),
        )
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _add_numbers(table: Table, columns: Sequence[str]) -> None:
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)


def _tells_flotime(provider: str) -> bool:
    """Return whether the provider reports GPU time; the others' stand-ins only meter it."""
    return profile(provider).capabilities.flotime


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f} s"
