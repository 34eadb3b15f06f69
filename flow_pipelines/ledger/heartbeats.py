"""Signs of life of the steps of Dagster runs, and runs that give none any more.

A step's row is there while the step is at work. A run that was found dead, or that somebody else
ended, gets no lease from then on, should its process wake up: so its row stays for a month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Select,
    Table,
    Text,
    delete,
    func,
    literal,
    select,
    update,
)

from flow_pipelines.ledger.column_types import Instant
from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.records import Heartbeat, SilentRun
from flow_pipelines.ledger.schema import leases, metadata
from flow_pipelines.model.errors import RunEnded

BEAT_SECONDS = 15.0
SILENT_AFTER = timedelta(seconds=90)
"""Since its newest sign of life a run that gives none may be dead."""
KEPT = timedelta(days=30)
"""Since then an ended run's row is still there to refuse it leases."""


def _required(name: str, kind: type | Instant, *, key: bool = False) -> Column[Any]:
    return Column(name, kind, primary_key=key, nullable=False)


run_heartbeats = Table(
    "run_heartbeats",
    metadata,
    # A step of a Dagster run that is at work; taken away when the step ends.
    _required("run_id", Text, key=True),
    _required("step_key", Text, key=True),
    _required("host", Text),
    # Pid and start of its process, as its host counts them: `resources.processes`.
    _required("process", Text),
    # Empty where a step works on no night.
    _required("batch", Text),
    _required("partition_key", Text),
    _required("location", Text),
    _required("started_at", Instant),
    _required("beat_at", Instant),
    # When the run was found dead, or ended by somebody else: it gets no lease any more.
    Column("ended_at", Instant),
    # Dagster has it as ended, too: only its leases are still refused.
    _required("closed", Boolean),
    Index("ix_run_heartbeats_silent", "closed", "beat_at"),
)
_row = run_heartbeats.c


class Heartbeats:
    """Signs of life; `contract` says what holds for every method."""

    _database: Database

    def beat(self, beat: Heartbeat) -> None:
        """Write that a step is at work. Raises: RunEnded, when its run has ended."""
        insert = self._database.upsert(run_heartbeats)
        with self._database.write() as connection:
            _refuse_ended(connection, beat.run_id, lock=True)
            now = self._database.clock.now()
            values = {**asdict(beat), "beat_at": now}
            query = insert.values(**values, started_at=now, closed=False).on_conflict_do_update(
                index_elements=["run_id", "step_key"], set_=values
            )
            connection.execute(query)

    def end_heartbeat(self, beat: Heartbeat) -> None:
        """Take a step's row away, unless its run has ended; forget runs that ended long ago."""
        own = (_row.run_id == beat.run_id, _row.step_key == beat.step_key, _row.ended_at.is_(None))
        with self._database.write() as connection:
            since = self._database.clock.now() - KEPT
            old = (_row.closed, _row.beat_at < since)
            connection.execute(delete(run_heartbeats).where(*own))
            connection.execute(delete(run_heartbeats).where(*old))

    def check_run(self, run_id: str) -> None:
        """Raise RunEnded when a run has ended; else nothing happens."""
        with self._database.read() as connection:
            _refuse_ended(connection, run_id)

    def silent_runs(self, location: str | None, *, limit: int) -> Sequence[SilentRun]:
        """Return runs of a location that may be dead, the longest silent first; closed ones not.

        None: of all of them. A run one of whose steps gave a sign of life lately is none of them.
        """
        since = self._database.clock.now() - SILENT_AFTER
        silent = (
            select(_row.run_id, func.min(_row.beat_at))
            .where(~_row.closed, _row.beat_at <= since)
            .group_by(_row.run_id)
            .order_by(func.min(_row.beat_at))
            .limit(limit)
        )
        if location is not None:
            silent = silent.where(_row.location == location)
        with self._database.read() as connection:
            runs = [_run(connection, row[0]) for row in connection.execute(silent).all()]
        return [run for run in runs if run is not None and run.beat_at <= since]

    def end_run(self, run_id: str, *, silent: Sequence[str] | None = None) -> bool:
        """Write that a run has ended, so that it gets no lease any more. True, also when it had.

        With `silent`, names of leases, only if it still gives no sign of life and holds none of
        them. Nothing is written then, and False returned.
        """
        with self._database.write() as connection:
            found = connection.execute(_of_run(run_id).with_for_update()).all()
            now = self._database.clock.now()
            if silent is not None and (
                not found
                or max(row.beat_at for row in found) > now - SILENT_AFTER
                or _holds(connection, silent, run_id, now)
            ):
                return False
            connection.execute(
                update(run_heartbeats)
                .where(_row.run_id == run_id, _row.ended_at.is_(None))
                .values(ended_at=now)
            )
            return True

    def close_run(self, run_id: str) -> None:
        """Write that Dagster has a run as ended, too: it is no silent run any more."""
        with self._database.write() as connection:
            ended_at = func.coalesce(_row.ended_at, literal(self._database.clock.now(), Instant()))
            connection.execute(
                update(run_heartbeats)
                .where(_row.run_id == run_id)
                .values(ended_at=ended_at, closed=True)
            )


def has_ended(connection: Connection, run_id: str) -> bool:
    """Return whether a run has ended; if it has not, it does not before the commit."""
    rows = connection.execute(_of_run(run_id).with_for_update(read=True)).all()
    return any(row.ended_at is not None for row in rows)


def _refuse_ended(connection: Connection, run_id: str, *, lock: bool = False) -> None:
    query = _of_run(run_id)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    if any(row.ended_at is not None for row in rows):
        raise RunEnded(f"the Dagster run {run_id} was ended from outside; it does nothing more")


def _of_run(run_id: str) -> Select[tuple[Any, ...]]:
    return select(run_heartbeats).where(_row.run_id == run_id).order_by(_row.step_key)


def _holds(connection: Connection, names: Sequence[str], owner: str, now: datetime) -> bool:
    query = select(leases.c.name).where(
        leases.c.name.in_(names), leases.c.owner == owner, leases.c.expires_at > now
    )
    return connection.execute(query).first() is not None


def _run(connection: Connection, run_id: str) -> SilentRun | None:
    """Return a run with all its steps."""
    rows = connection.execute(_of_run(run_id)).mappings().all()
    steps = tuple(
        Heartbeat(**{name: row[name] for name in Heartbeat.__annotations__}) for row in rows
    )
    if not rows:
        return None
    return SilentRun(run_id=run_id, beat_at=max(row["beat_at"] for row in rows), steps=steps)
