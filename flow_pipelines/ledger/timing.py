"""Measured run times per workflow, and the workload of an account."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, case, exists, func, select

from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.records import RunTime, Workload
from flow_pipelines.ledger.schema import leases, nights, run_times
from flow_pipelines.model import IN_FLIGHT, RunReport

KEPT = 256
"""Run times of a workflow that are kept; a new one takes the place of any older one."""
_MILLISECOND = timedelta(milliseconds=1)


class Timing:
    """Run times and workload; `contract` says what holds for every method."""

    _database: Database

    def run_times(self, provider: str, workflow_version: str) -> Sequence[RunTime]:
        """Return what is kept of a workflow's runs that succeeded: some hundred, mostly the latest.

        `record_poll` keeps one for each: from the last poll that found it at work, or the time
        that the provider says it ran, to the poll that found its end.
        """
        columns = run_times.c
        query = select(columns.at_least_ms, columns.at_most_ms).where(
            columns.provider == provider, columns.workflow_version == workflow_version
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            RunTime(at_least_seconds=at_least / 1000, at_most_seconds=at_most / 1000)
            for at_least, at_most in rows
        ]

    def workload(self, resource: str) -> Workload:
        """Return what waits to be submitted with an account, and what is in flight."""
        columns, now = nights.c, self._database.clock.now()
        name = "submit:" + columns.batch + "/" + columns.partition_key
        submitting = exists().where(leases.c.name == name, leases.c.expires_at > now)
        waiting = case((submitting, columns.count_planned), else_=0)
        in_flight = sum(columns[f"count_{state}"] for state in sorted(IN_FLIGHT))
        query = select(func.sum(waiting), func.sum(in_flight)).where(
            columns.attention.is_(True), columns.resource == resource
        )
        with self._database.read() as connection:
            counts = connection.execute(query).one()
        return Workload(waiting=int(counts[0] or 0), in_flight=int(counts[1] or 0))


def measure(
    database: Database,
    connection: Connection,
    row: RowMapping,
    report: RunReport,
    now: datetime,
) -> None:
    """Keep how long a run took that ended, within the bounds that are known."""
    since = row["submitted_at"]
    if since is None:
        return
    values = _bounds(row, report, since, now)
    values |= {"seen_at": now}
    place = zlib.crc32(row["submission_key"].encode()) % KEPT
    key = {
        "provider": row["provider"],
        "workflow_version": row["workflow_version"],
        "place": place,
    }
    query = database.upsert(run_times).values(**key, **values)
    connection.execute(query.on_conflict_do_update(index_elements=list(key), set_=values))


def _bounds(row: RowMapping, report: RunReport, since: datetime, now: datetime) -> dict[str, Any]:
    at_most = max((now - since) // _MILLISECOND, 0)
    at_work_at = row["asked_at"]
    at_work = 0 if at_work_at is None else (at_work_at - since) // _MILLISECOND
    at_least = max(at_work, report.run_ms or 0, report.flotime_ms or 0)
    at_least = min(at_least, at_most)
    if report.finished_at is not None:
        # Their clock may not be ours: what polls saw is the frame.
        reported_ms = (report.finished_at - since) // _MILLISECOND
        if at_least <= reported_ms <= at_most:
            at_least = at_most = reported_ms
    return {"at_least_ms": at_least, "at_most_ms": at_most}
