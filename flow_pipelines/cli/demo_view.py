"""What a demo shows: a night's progress, and at the end the ledger beside the stand-ins' meters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.night import NightOfDemo, NightResult
from flow_pipelines.ledger.contract import RunLedger
from flow_pipelines.model import ENDED, Night, SubmissionState
from flow_pipelines.sandbox.meter import Reading

_STEPS = ("submitted", "finished", "in the bucket")


class Progress:
    """Three bars a night, drawn from the ledger."""

    def __init__(self, console: Console, nights: Sequence[NightOfDemo]) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks = {
            night.night: [
                self._bars.add_task(f"{night.night} {step}", total=None) for step in _STEPS
            ]
            for night in nights
        }

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture standing."""
        self._bars.stop()

    def update(self, ledger: RunLedger) -> None:
        """Draw how far each night has come."""
        for night, tasks in self._tasks.items():
            self._update(ledger, night, tasks)

    def _update(self, ledger: RunLedger, night: Night, tasks: Sequence[TaskID]) -> None:
        record = ledger.night(night)
        if record is None:
            return
        counts = record.counts
        total = sum(counts.values())
        ended = sum(counts.get(state, 0) for state in ENDED)
        stored = counts.get(SubmissionState.SUCCEEDED, 0) - record.uncollected
        sent = total - counts.get(SubmissionState.PLANNED, 0)
        for task, done in zip(tasks, (sent, ended, stored), strict=True):
            self._bars.update(task, total=total, completed=done)


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
    console.print(_nights(results))
    agree = [_compare(console, name, results, meters) for name in sorted(_providers(results))]
    for one in results:
        console.print(f"In the bucket: {one.folder}")
    console.print(f"Its objects are files under {home.bucket}", soft_wrap=True)
    return all(agree) and all(one.images > 0 and one.failed == 0 for one in results)


def _nights(results: Sequence[NightResult]) -> Table:
    table = Table(title="Last night, from the ledger", title_justify="left")
    for name in ("night", "provider"):
        table.add_column(name, overflow="fold")
    for name in ("runs", "images", "failed", "FloTime", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in results:
        table.add_row(
            str(one.night),
            one.provider,
            str(one.runs),
            str(one.images),
            str(one.failed),
            f"{one.flotime_ms / 1000:.3f} s",
            f"{one.cost_usd} USD",
        )
    return table


def _providers(results: Sequence[NightResult]) -> set[str]:
    return {one.provider for one in results}


def _compare(
    console: Console,
    provider: str,
    results: Sequence[NightResult],
    meters: Mapping[str, Reading],
) -> bool:
    """Hold what this demo bought, by the ledger, against what the stand-in would bill."""
    ours = [one for one in results if one.provider == provider and one.bought_now]
    meter = meters.get(provider, Reading())
    runs, flotime_ms = sum(one.runs for one in ours), sum(one.flotime_ms for one in ours)
    agrees = (
        meter.runs_billed == runs
        and meter.flotime_ms == flotime_ms
        and meter.duplicate_bills == 0
        and meter.rate_limited == 0
    )
    console.print(
        f"{provider} in this session: the stand-in billed {meter.runs_billed} runs "
        f"({meter.duplicate_bills} twice) and {meter.flotime_ms / 1000:.3f} s of FloTime; "
        f"the ledger has {runs} bought in it and {flotime_ms / 1000:.3f} s; "
        f"{meter.rate_limited} requests were refused as too many. "
        + ("[green]They agree.[/]" if agrees else "[bold red]They do not agree.[/]")
    )
    return agrees
