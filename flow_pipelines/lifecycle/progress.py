"""How far a night has come: counts, money, expected end, and whether it is complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.records import Tally
from flow_pipelines.model import ENDED, IN_FLIGHT, Night, NightRecord, SubmissionState
from flow_pipelines.model.states import UNDER_WAY
from flow_pipelines.model.wording import money

FEWEST_ENDED = 3
"""Ends that a forecast needs: fewer say nothing of a pace."""
LONGEST_FORECAST = timedelta(days=7)
_S = SubmissionState


@dataclass(frozen=True, kw_only=True)
class NightProgress:
    """A night that is being bought, counted over the rows of its latest generation.

    Rows of an earlier generation count as long as they have not ended.
    """

    night: Night
    generation: int
    rows: int
    succeeded: int
    failed: int
    canceled: int
    skipped: int
    unresolved: int
    in_flight: int
    """At the provider."""
    planned: int
    """Not sent yet."""
    submitting: int = 0
    """Being sent this moment, or by a process that died: perhaps bought."""
    cost_usd: Decimal
    """Of the whole night so far, earlier generations included; unknown costs count nothing."""
    expected_end_at: datetime | None
    """A forecast from the pace so far; None: nothing is left, or nobody can tell yet."""

    @property
    def ended(self) -> int:
        """Count the rows that nothing more happens to."""
        return self.succeeded + self.failed + self.canceled + self.skipped

    @property
    def percent(self) -> int:
        """Return the share of ended rows, rounded down."""
        return 100 * self.ended // self.rows if self.rows else 0

    @property
    def under_way(self) -> bool:
        """Return whether something is still to be sent or to end by itself."""
        return bool(self.in_flight or self.planned or self.submitting)

    def in_words(self) -> str:
        """Return one line, without the counts that are 0."""
        counts = (
            (self.failed, "failed"),
            (self.canceled, "canceled"),
            (self.skipped, "skipped"),
            (self.unresolved, "unresolved"),
            (self.in_flight, "in flight"),
            (self.submitting, "being sent"),
            (self.planned, "planned"),
        )
        parts = [f"{self.succeeded} of {self.rows} done"]
        parts += [f"{count} {word}" for count, word in counts if count]
        parts.append(f"{money(self.cost_usd)} so far" if self.under_way else money(self.cost_usd))
        if self.expected_end_at is not None:
            parts.append(f"ends about {self.expected_end_at:%H:%M} UTC")
        return f"{self.night}: {', '.join(parts)}"


def night_progress(night: Night, tallies: Sequence[Tally], now: datetime) -> NightProgress:
    """Count a night by its `tallies`, all generations of them."""
    generation = max((tally.generation for tally in tallies), default=0)
    current = [
        tally for tally in tallies if tally.generation == generation or tally.state not in ENDED
    ]
    counts: Counter[SubmissionState] = Counter()
    for tally in current:
        counts[tally.state] += tally.rows
    in_flight = sum(counts[state] for state in IN_FLIGHT)
    left = in_flight + counts[_S.PLANNED] + counts[_S.SUBMITTING]
    return NightProgress(
        night=night,
        generation=generation,
        rows=counts.total(),
        succeeded=counts[_S.SUCCEEDED],
        failed=counts[_S.FAILED],
        canceled=counts[_S.CANCELED],
        skipped=counts[_S.SKIPPED],
        unresolved=counts[_S.UNRESOLVED],
        in_flight=in_flight,
        planned=counts[_S.PLANNED],
        submitting=counts[_S.SUBMITTING],
        cost_usd=sum((tally.cost_usd for tally in tallies), Decimal(0)),
        expected_end_at=_expected_end(current, left, now),
    )


def _expected_end(tallies: Sequence[Tally], left: int, now: datetime) -> datetime | None:
    """Go on at the pace of the ends so far.

    That pace is the provider's where runs queue there, and ours where sending is what takes time.
    """
    ends = sum(tally.ends for tally in tallies)
    if not left or ends < FEWEST_ENDED:
        return None
    first = min(tally.first_end_at for tally in tallies if tally.first_end_at)
    last = max(tally.last_end_at for tally in tallies if tally.last_end_at)
    wait = (last - first) / (ends - 1) * left
    return now + wait if timedelta(0) < wait <= LONGEST_FORECAST else None


@dataclass(frozen=True, kw_only=True)
class NightStatus:
    """What the ledger knows of a night that should be there."""

    is_complete: bool
    """Everything that was sent has ended, and the tables in the bucket say so. How well it went
    does not matter here, and what waits for a person (`unresolved`) does not make it incomplete."""
    describe: Callable[[], str] = field(repr=False, compare=False)
    """Sums the night up: a sensor asks for the words only to report them."""


def night_status(record: NightRecord | None, night: Night, ledger: RunLedger) -> NightStatus:
    """Return the status of a night whose record was just read; None: it has none."""
    is_complete = (
        record is not None
        and record.marked_at is not None
        and not any(record.counts.get(state, 0) for state in UNDER_WAY)
        and record.revision == record.collected_revision
    )
    return NightStatus(
        is_complete=is_complete,
        describe=lambda: _describe(ledger, night, record, is_complete=is_complete),
    )


def _describe(
    ledger: RunLedger, night: Night, record: NightRecord | None, *, is_complete: bool
) -> str:
    if record is None:
        return _with_pause(ledger, f"{night} was not bought: no run ever planned it")
    if record.marked_at is None:
        return _with_pause(ledger, f"{night} was planned, and nothing of it was sent")
    progress = night_progress(night, ledger.tallies(night), ledger.clock.now())
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
