"""Whether a night is there: bought, ended and in the bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.progress import night_progress
from flow_pipelines.model import Night, NightRecord
from flow_pipelines.model.states import UNDER_WAY


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What the ledger knows of a night that should be there."""

    night: Night
    there: bool
    """Everything that was sent has ended, and the tables in the bucket say so. How well it went
    is not asked here; what waits for a person (`unresolved`) does not make it absent."""
    tell: Callable[[], str] = field(repr=False, compare=False)
    """Sums the night up: a sensor asks for the words only to report them."""

    @property
    def in_words(self) -> str:
        """Say how it stands, from the ledger as it is now."""
        return self.tell()


def presence(ledger: RunLedger, clock: Clock, night: Night) -> Presence:
    """Look whether a night is there. Reads the ledger only: one row of it."""
    return presence_of(ledger.night(night), night, ledger, clock)


def presence_of(
    record: NightRecord | None, night: Night, ledger: RunLedger, clock: Clock
) -> Presence:
    """Tell the same of a record that was read a moment ago; None: there was none."""
    there = (
        record is not None
        and record.marked_at is not None
        and not any(record.counts.get(state, 0) for state in UNDER_WAY)
        and record.revision == record.collected_revision
    )
    return Presence(
        night=night, there=there, tell=lambda: _told(ledger, clock, night, record, there=there)
    )


def _told(
    ledger: RunLedger, clock: Clock, night: Night, record: NightRecord | None, *, there: bool
) -> str:
    if record is None:
        return _absent(ledger, f"{night} was not bought: no run ever planned it")
    if record.marked_at is None:
        return _absent(ledger, f"{night} was planned, and nothing of it was sent")
    progress = night_progress(night, ledger.tallies(night), clock.now())
    if there:
        return f"{progress.in_words()}, in the bucket"
    if record.stopped is not None and progress.planned:
        return _absent(ledger, f"{progress.in_words()}: stopped: {record.stopped}")
    if progress.under_way:
        return _absent(ledger, f"{progress.in_words()}: not ended yet")
    return _absent(ledger, f"{progress.in_words()}: ended, and not in the bucket yet")


def _absent(ledger: RunLedger, words: str) -> str:
    pause = ledger.paused()
    if pause is not None:
        words += f". Submitting is paused by {pause.who}: {pause.why}"
    return words
