"""Whether a night is complete: bought, ended and in the bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.progress import night_progress
from flow_pipelines.model import Night, NightRecord
from flow_pipelines.model.states import UNDER_WAY


@dataclass(frozen=True, kw_only=True)
class NightStatus:
    """What the ledger knows of a night that should be there."""

    night: Night
    is_complete: bool
    """Everything that was sent has ended, and the tables in the bucket say so. How well it went
    does not matter here, and what waits for a person (`unresolved`) does not make it incomplete."""
    describe: Callable[[], str] = field(repr=False, compare=False)
    """Sums the night up: a sensor asks for the words only to report them."""

    @property
    def in_words(self) -> str:
        """Return the status as text, from the ledger as it is now."""
        return self.describe()


def night_status(
    record: NightRecord | None, night: Night, ledger: RunLedger, clock: Clock
) -> NightStatus:
    """Return the status of a night whose record was just read; None: it has none."""
    is_complete = (
        record is not None
        and record.marked_at is not None
        and not any(record.counts.get(state, 0) for state in UNDER_WAY)
        and record.revision == record.collected_revision
    )
    return NightStatus(
        night=night,
        is_complete=is_complete,
        describe=lambda: _describe(ledger, clock, night, record, is_complete=is_complete),
    )


def _describe(
    ledger: RunLedger, clock: Clock, night: Night, record: NightRecord | None, *, is_complete: bool
) -> str:
    if record is None:
        return _with_pause(ledger, f"{night} was not bought: no run ever planned it")
    if record.marked_at is None:
        return _with_pause(ledger, f"{night} was planned, and nothing of it was sent")
    progress = night_progress(night, ledger.tallies(night), clock.now())
    if is_complete:
        return f"{progress.in_words()}, in the bucket"
    if record.stopped is not None and progress.planned:
        return _with_pause(ledger, f"{progress.in_words()}: stopped: {record.stopped}")
    if progress.under_way:
        return _with_pause(ledger, f"{progress.in_words()}: not ended yet")
    return _with_pause(ledger, f"{progress.in_words()}: ended, and not in the bucket yet")


def _with_pause(ledger: RunLedger, words: str) -> str:
    pause = ledger.paused()
    if pause is not None:
        words += f". Submitting is paused by {pause.who}: {pause.why}"
    return words
