"""Tell whether anything of a night may still change; if not, its rows may be pruned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, func, or_, select

from flow_pipelines.ledger.changing import of_night
from flow_pipelines.ledger.contract import UNDER_WAY
from flow_pipelines.ledger.leases import lease_in_force
from flow_pipelines.ledger.rows import COUNT_COLUMNS, night_of
from flow_pipelines.ledger.schema import leases, outputs, second_runs, submissions
from flow_pipelines.model import UNPARTITIONED, Night, SubmissionState
from flow_pipelines.model.output import LOST
from flow_pipelines.model.states import UNFINISHED

_s, _o, _r = submissions.c, outputs.c, second_runs.c
_KINDS_OF_WORK = ("submit", "collect")


def why_open(
    connection: Connection, row: Any, before: datetime, now: datetime, owner: str
) -> str | None:
    """Return what keeps a night from being pruned; None: every row of it is settled.

    `row` is the night's own. It must not have changed since `before`; leases of `owner` do not
    count.
    """
    return next(_reasons(connection, row, before, now, owner), None)


def _reasons(
    connection: Connection, row: Any, before: datetime, now: datetime, owner: str
) -> Iterator[str]:
    night = night_of(row)
    yield from _of_the_night(row, before, now)
    yield from _of_its_counts(connection, night, row)
    for look in (_missing_outputs, _second_runs):
        yield from look(connection, night)
    yield from _work(connection, night, now, owner)


def _of_the_night(row: Any, before: datetime, now: datetime) -> Iterator[str]:
    if row["partition_key"] == UNPARTITIONED:
        yield "its batch has no other partition, and could never buy again"
    if row["changed_at"] >= before or row["changed_at"] > now - UNDER_WAY:
        yield f"it changed at {row['changed_at']:%Y-%m-%d %H:%M} UTC"
    for state in sorted(UNFINISHED):
        if row[COUNT_COLUMNS[state]]:
            yield f"{row[COUNT_COLUMNS[state]]} of its rows are {state.value}"
    if row["revision"] != row["collected_revision"]:
        yield "its tables in the bucket are behind: `flow-pipelines collect` writes them"


def _of_its_counts(connection: Connection, night: Night, row: Any) -> Iterator[str]:
    query = select(_s.state, func.count()).where(*of_night(night)).group_by(_s.state)
    found = {row[0]: row[1] for row in connection.execute(query)}
    if not found:
        yield "it has no rows"
    for state, column in COUNT_COLUMNS.items():
        if found.get(state, 0) != row[column]:
            yield f"it counts {row[column]} rows as {state.value}, and has {found.get(state, 0)}"


_is_missing = and_(_o.stored_at.is_(None), _o.settled_above.is_(None))
_is_lost = and_(_o.problem.is_not(None), _o.problem.startswith(LOST, autoescape=True))


def _missing_outputs(connection: Connection, night: Night) -> Iterator[str]:
    """An output is stored, too large to be, or was called lost; a run without any is asked again.

    A row is collected unless something of it is lost.
    """
    of_row = _o.submission_key == _s.submission_key
    missing = (
        select(func.count())
        .select_from(submissions.join(outputs, of_row))
        .where(*of_night(night), _is_missing, or_(_o.problem.is_(None), ~_is_lost))
    )
    if count := connection.execute(missing).scalar_one():
        yield f"{count} of its outputs are neither stored nor called lost"
    uncollected = select(func.count()).where(
        *of_night(night),
        _s.state == SubmissionState.SUCCEEDED,
        _s.collected_at.is_(None),
        ~exists().where(of_row, _is_missing, _is_lost),
    )
    if count := connection.execute(uncollected).scalar_one():
        yield f"{count} of its rows are not collected"


def _second_runs(connection: Connection, night: Night) -> Iterator[str]:
    of_row = _r.submission_key == _s.submission_key
    query = (
        select(func.count())
        .select_from(submissions.join(second_runs, of_row))
        .where(*of_night(night), _r.settled_why.is_(None))
    )
    if count := connection.execute(query).scalar_one():
        yield f"{count} second run(s) wait for a person: `flow-pipelines resolve --settle-second`"


def _work(connection: Connection, night: Night, now: datetime, owner: str) -> Iterator[str]:
    """Whoever works on it holds a lease, or a claim, or sends a copy under a key."""
    for kind in _KINDS_OF_WORK:
        lease = lease_in_force(connection, f"{kind}:{night}", now, lock=True)
        if lease is not None and lease.owner != owner:
            yield f"{lease.owner} works on it now"
    claimed = select(_s.submission_key).where(
        *of_night(night), _s.claimed_by.is_not(None), _s.claim_expires_at > now
    )
    if connection.execute(claimed.limit(1)).first() is not None:
        yield "a run of it is being polled now"
    begins = "replay:"
    copies = select(leases.c.name).where(
        leases.c.name >= begins, leases.c.name < begins[:-1] + ";", leases.c.expires_at > now
    )
    keys = [name.removeprefix(begins) for name in connection.execute(copies).scalars()]
    sent = select(_s.submission_key).where(*of_night(night), _s.submission_key.in_(keys))
    if keys and connection.execute(sent.limit(1)).first() is not None:
        yield "a copy of a request of it may be under way"
