"""Whether a night is there: bought, ended and in the bucket."""

from __future__ import annotations

from dataclasses import dataclass

from flow_pipelines.clock import Clock
from flow_pipelines.ledger.contract import RunLedger
from flow_pipelines.lifecycle.progress import night_progress
from flow_pipelines.model import Night


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What the ledger knows of a night that should be there."""

    night: Night
    there: bool
    """Everything that was sent has ended, and the tables in the bucket say so. How well it went
    is not asked here; what waits for a person (`unresolved`) does not make it absent."""
    in_words: str


def presence(ledger: RunLedger, clock: Clock, night: Night) -> Presence:
    """Look whether a night is there. Reads the ledger only."""
    record = ledger.night(night)
    if record is None:
        return _absent(ledger, night, f"{night} was not bought: no run ever planned it")
    if record.marked_at is None:
        return _absent(ledger, night, f"{night} was planned, and nothing of it was sent")
    progress = night_progress(night, ledger.submissions(night), clock.now())
    if progress.under_way:
        return _absent(ledger, night, f"{progress.in_words()}: not ended yet")
    if record.revision != record.collected_revision:
        return _absent(ledger, night, f"{progress.in_words()}: ended, and not in the bucket yet")
    return Presence(night=night, there=True, in_words=f"{progress.in_words()}, in the bucket")


def _absent(ledger: RunLedger, night: Night, words: str) -> Presence:
    pause = ledger.paused()
    if pause is not None:
        words += f". Submitting is paused by {pause.who}: {pause.why}"
    return Presence(night=night, there=False, in_words=words)
