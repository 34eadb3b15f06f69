"""Decide from the ledger alone which nights need a submit or collect run now (for the sensor)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.contract import MAX_ATTEMPTS, MAX_COLLECTIONS
from flow_pipelines.ledger.records import Pause, Tally
from flow_pipelines.lifecycle.ports import collect_lease, submit_lease
from flow_pipelines.lifecycle.progress import NightProgress, night_progress
from flow_pipelines.model import IN_FLIGHT, Night, NightRecord, SubmissionState
from flow_pipelines.model.wording import how_to_mend

SPACING = timedelta(minutes=2)
"""Time that a Dagster run gets to be queued, start and take its lease; doubled each attempt."""
LONGEST_SPACING = timedelta(hours=6)
_LEASES = (submit_lease, collect_lease)

Kind = Literal["submit", "collect"]
_MAX_ATTEMPTS: Mapping[Kind, int] = {"submit": MAX_ATTEMPTS, "collect": MAX_COLLECTIONS}


@dataclass(frozen=True, kw_only=True)
class Todo:
    """A Dagster run to ask for."""

    kind: Kind
    night: Night
    attempt: int
    generation: int
    revision: int
    backfill_id: str | None
    limit: int | None = None
    """For `submit`: how many rows the night may still send; None: all that are planned."""


@dataclass(frozen=True, kw_only=True)
class Agenda:
    """Runs to ask for, and what is waiting, in words."""

    todos: tuple[Todo, ...]
    waiting: tuple[str, ...]
    progress: tuple[NightProgress, ...] = ()
    """Of the nights that somebody asked to buy, whether a run is asked for or not."""
    nights: tuple[NightRecord, ...] = ()
    """Those with something to do, as they were looked at."""
    pause: Pause | None = None


def agenda(
    ledger: RunLedger,
    clock: Clock,
    *,
    batches: Collection[str],
    held: Collection[str] = (),
) -> Agenda:
    """Decide which nights need a Dagster run now, counting each request in the ledger.

    Whoever holds a night's lease works on it; no run is requested then. Whether a Dagster run is
    finished does not matter: one whose host died stays started. While a 429 holds a
    batch's account (`held`), nothing is requested for it but a night's first collect run.
    """
    snapshot = _read_snapshot(ledger, batches, held)
    now = clock.now()
    todos, waiting, under_way = [], [], []
    for listed in snapshot.listed:
        progress = _progress(snapshot, listed, now)
        if progress is not None:
            under_way.append(progress)
        record = snapshot.free.get(listed.night)
        kind = _work_needed(snapshot, record, now) if record else None
        words = progress.in_words() if progress else _in_words(listed)
        if record is not None and kind is not None:
            todo = _request(ledger, clock, record, kind)
            todos += [todo] if todo else []
            words = _asked_for(record, kind) if todo is None else ""
        waiting += [said for said in (words, _blocked_reason(listed)) if said]
    return Agenda(
        todos=tuple(todos),
        waiting=tuple(waiting),
        progress=tuple(under_way),
        nights=tuple(snapshot.listed),
        pause=snapshot.pause,
    )


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """What the ledger says of all nights at once: a tick asks as often for 200 as for one."""

    listed: Sequence[NightRecord]
    free: Mapping[Night, NightRecord]
    """Those that somebody asked to buy and nobody works on, as whoever did left them."""
    tallies: Mapping[Night, Sequence[Tally]]
    """Of those that somebody asked to buy."""
    pause: Pause | None
    held: Collection[str]


def _read_snapshot(ledger: RunLedger, batches: Collection[str], held: Collection[str]) -> _Snapshot:
    listed = ledger.nights_to_do(batches)
    asked_for = [record.night for record in listed if record.marked_at is not None]
    taken = ledger.leases([lease(night) for night in asked_for for lease in _LEASES])
    unleased = [night for night in asked_for if not any(lease(night) in taken for lease in _LEASES)]
    return _Snapshot(
        listed=listed,
        # Read after the leases: their holder may have finished since the nights were listed.
        free=ledger.night_records(unleased),
        tallies=ledger.tallies_of(asked_for),
        pause=ledger.paused(),
        held=held,
    )


def _progress(snapshot: _Snapshot, listed: NightRecord, now: datetime) -> NightProgress | None:
    """Return how far a night has come that somebody asked to buy."""
    if listed.marked_at is None:
        return None
    return night_progress(listed.night, snapshot.tallies[listed.night], now)


def _work_needed(snapshot: _Snapshot, record: NightRecord, now: datetime) -> Kind | None:
    held = record.night.batch in snapshot.held
    if sendable_rows(record) and snapshot.pause is None and not held:
        return "submit"
    if held and (record.collect_attempts > 0 or not record.uncollected):
        # What is missing may need to be asked for: further attempts are for when that is allowed.
        return None
    behind = record.revision != record.collected_revision or record.uncollected
    if behind and not _is_worth_waiting(record, snapshot.tallies[record.night], now):
        return "collect"
    return None


def sendable_rows(record: NightRecord) -> int:
    """Return how many planned rows the night may still send by itself."""
    if record.stopped is not None:
        return 0
    planned = record.counts.get(SubmissionState.PLANNED, 0) - record.held
    if record.submit_goal is None:
        return planned
    return min(planned, max(record.submit_goal - record.sent, 0))


def _is_worth_waiting(record: NightRecord, tallies: Sequence[Tally], now: datetime) -> bool:
    """Return whether something is at the provider and not overdue: then it is worth waiting for."""
    if record.counts.get(SubmissionState.SUBMITTING, 0):
        return True
    limit = timedelta(seconds=record.run_timeout_seconds)
    return any(
        tally.last_sent_at is not None and now - tally.last_sent_at <= limit
        for tally in tallies
        if tally.state in IN_FLIGHT
    )


def _request(ledger: RunLedger, clock: Clock, record: NightRecord, kind: Kind) -> Todo | None:
    attempts = record.submit_attempts if kind == "submit" else record.collect_attempts
    if attempts >= _MAX_ATTEMPTS[kind]:
        return None
    attempt = ledger.request_work(record.night, kind, not_before=_not_before(clock.now(), attempts))
    if attempt is None:
        return None
    return Todo(
        kind=kind,
        night=record.night,
        attempt=attempt,
        generation=record.generation,
        revision=record.revision,
        backfill_id=record.backfill_id,
        limit=None if record.submit_goal is None else sendable_rows(record),
    )


def _asked_for(record: NightRecord, kind: Kind) -> str:
    attempts = record.submit_attempts if kind == "submit" else record.collect_attempts
    if attempts < _MAX_ATTEMPTS[kind]:
        return f"{record.night}: a run to {kind} was asked for"
    asset = "provider_runs" if kind == "submit" else "images"
    return (
        f"{record.night}: {attempts} runs to {kind} were asked for in vain; a person has to look, "
        f"then materialize {record.night.batch}/{asset} of it"
    )


def _not_before(now: datetime, attempts: int) -> datetime:
    return now - min(SPACING * 2.0 ** max(attempts - 1, 0), LONGEST_SPACING)


def _in_words(record: NightRecord) -> str:
    counts = ", ".join(f"{count} {state.value}" for state, count in sorted(record.counts.items()))
    return f"{record.night}: {counts}"


def _blocked_reason(record: NightRecord) -> str:
    """Return what keeps the planned rows of a requested night from being sent."""
    night, asset = record.night, f"{record.night.batch}/provider_runs"
    if record.stopped is not None and record.counts.get(SubmissionState.PLANNED):
        return f"{night} stopped: {record.stopped}. {how_to_mend(night.batch)}"
    if record.held:
        return f"{night}: {record.held} planned anew wait until {asset} is materialized"
    return ""
