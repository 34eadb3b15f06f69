"""Decide from the ledger alone whether a night needs a Dagster run that gives no sign of life."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.agenda import sendable_rows
from flow_pipelines.lifecycle.ports import collect_lease, submit_lease
from flow_pipelines.model import IN_FLIGHT, Night, NightRecord


def was_taken_over(
    ledger: RunLedger, run_id: str, night: Night, unfinished: Collection[str], since: datetime
) -> bool:
    """Return whether somebody goes on with a night, or nothing of it is left for this run.

    `unfinished` are the run's assets of this night, without the batch's name; `since` is its last
    sign of life. Who goes on has a lease of the night, or was asked for by a sensor since: such a
    run may be waiting for the very place in the queue that this one keeps.
    """
    leases = ledger.leases([submit_lease(night), collect_lease(night)]).values()
    if any(lease.owner == run_id for lease in leases):
        return False
    record = ledger.night(night)
    if leases or record is None:
        return bool(leases)
    requests = (record.submit_requested_at, record.collect_requested_at)
    asked_for = any(at is not None and at > since for at in requests)
    return asked_for or not _is_left(record, unfinished)


def _is_left(record: NightRecord, unfinished: Collection[str]) -> bool:
    """Return whether rows are to be sent, or stored, that these assets would send or store."""
    if "provider_runs" in unfinished and sendable_rows(record):
        return True
    open_rows = record.uncollected or any(record.counts.get(state) for state in IN_FLIGHT)
    behind = record.revision != record.collected_revision
    return "images" in unfinished and bool(open_rows or behind)
