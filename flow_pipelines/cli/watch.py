"""`flow-pipelines runs --watch`: a bar a night, for as long as something is under way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import NightProgress, night_progress
from flow_pipelines.model import ENDED, Night, Submission, SubmissionState
from flow_pipelines.model.wording import money

EVERY_SECONDS = 2.0
LOOK_FOR_NIGHTS = 8
"""Redrawings between two looks for nights that began meanwhile."""
MOST_SUBMISSIONS = 1_000
"""Of a state, that are looked through for nights under way."""
MOST_NIGHTS = 20
_OPEN = [state for state in SubmissionState if state not in {*ENDED, SubmissionState.UNRESOLVED}]


def watch(
    ledger: RunLedger,
    clock: Clock,
    console: Console,
    *,
    batch: str | None = None,
    partition_key: str | None = None,
    provider: str | None = None,
) -> None:
    """Draw how far each night has come until none is under way. Reads the ledger only."""
    search = partial(
        ledger.search,
        batch=batch,
        partition_key=partition_key,
        provider=provider,
        limit=MOST_SUBMISSIONS,
    )
    bars = _Bars(console)
    nights: list[Night] = []
    turn = 0
    with bars.progress:
        while True:
            if turn % LOOK_FOR_NIGHTS == 0:
                nights += [one for one in _under_way(ledger, search) if one not in nights]
            shown = [_look(ledger, clock, night) for night in nights[:MOST_NIGHTS]]
            bars.draw(shown)
            if not any(one.under_way for one in shown):
                break
            turn += 1
            clock.sleep(EVERY_SECONDS)
    if not nights:
        console.print("No night is under way.")
    if len(nights) > MOST_NIGHTS:
        console.print(f"… and {len(nights) - MOST_NIGHTS} more nights: see --batch, --partition.")


class _Bars:
    def __init__(self, console: Console) -> None:
        self._tasks: dict[Night, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
        )

    def draw(self, shown: Collection[NightProgress]) -> None:
        for one in shown:
            if one.night not in self._tasks:
                self._tasks[one.night] = self.progress.add_task(str(one.night), facts="")
            self.progress.update(
                self._tasks[one.night], total=one.rows, completed=one.ended, facts=_facts(one)
            )


def _facts(one: NightProgress) -> str:
    counts = ((one.failed, "failed"), (one.unresolved, "unresolved"), (one.skipped, "skipped"))
    told = [f"{count} {word}" for count, word in counts if count]
    told.append(money(one.cost_usd))
    if one.expected_end_at is not None:
        told.append(f"ends about {one.expected_end_at:%H:%M} UTC")
    return ", ".join(told)


def _under_way(ledger: RunLedger, search: Callable[..., Sequence[Submission]]) -> Collection[Night]:
    """Find nights with something open that somebody asked to buy, by name."""
    found = {one.night for state in _OPEN for one in search(state=state)}
    records = [ledger.night(night) for night in sorted(found)]
    return [record.night for record in records if record is not None and record.marked_at]


def _look(ledger: RunLedger, clock: Clock, night: Night) -> NightProgress:
    return night_progress(night, ledger.tallies(night), clock.now())
