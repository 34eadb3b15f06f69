"""Claim provider runs that are due for a poll, and write what their reports change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, insert, or_, select, update

from flow_pipelines.ledger.attaching import next_output_index
from flow_pipelines.ledger.changing import NightChange, changing, of_night
from flow_pipelines.ledger.column_types import storable, usd
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.leases import not_elsewhere
from flow_pipelines.ledger.rows import to_output, to_submission
from flow_pipelines.ledger.schema import outputs, submissions
from flow_pipelines.ledger.timing import measure
from flow_pipelines.model import (
    IN_FLIGHT,
    TRANSITIONS,
    CostBasis,
    Night,
    OutputRef,
    RunReport,
    Submission,
    SubmissionState,
)
from flow_pipelines.model.errors import IllegalTransition, LedgerError, SubmissionNotFound
from flow_pipelines.model.output import known_again
from flow_pipelines.model.states import AT_PROVIDER

_MILLISECOND = timedelta(milliseconds=1)
_UNCLAIMED: dict[str, Any] = {"claimed_by": None, "claim_expires_at": None}


class Polling:
    """Claims and poll results; `contract` says what holds for every method."""

    _database: Database

    def claim_due(  # noqa: PLR0913 - what narrows it, each by its name
        self,
        owner: str,
        *,
        provider: str,
        resource: str,
        location: str | None = None,
        night: Night | None = None,
        limit: int = 20,
        ttl_seconds: float = 60.0,
    ) -> Sequence[Submission]:
        """Claim an account's in-flight submissions whose `next_poll_at` has come, the longest due
        first.

        A claim hides them from every other `owner` for `ttl_seconds`, until `record_poll` or
        `release_claims`. PostgreSQL: concurrent claims do not wait for each other.
        """
        columns = submissions.c
        in_flight = _in_flight(select(submissions), provider, resource, location, night)
        with self._database.write() as connection:
            now = self._database.clock.now()
            due = in_flight.where(
                columns.next_poll_at <= now,
                or_(
                    columns.claimed_by.is_(None),
                    columns.claimed_by == owner,
                    columns.claim_expires_at <= now,
                ),
            )
            due = due.limit(limit).with_for_update(skip_locked=True)
            rows = connection.execute(due).mappings().all()
            expires_at = now + timedelta(seconds=ttl_seconds)
            claim = {"claimed_by": owner, "claim_expires_at": expires_at}
            _claim(connection, [row["submission_key"] for row in rows], claim)
        return [to_submission(row) for row in rows]

    def next_due_at(
        self,
        *,
        provider: str,
        resource: str,
        location: str | None = None,
        night: Night | None = None,
    ) -> datetime | None:
        """Return when the next of them falls due; None when none is in flight."""
        when = select(submissions.c.next_poll_at)
        query = _in_flight(when, provider, resource, location, night).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def in_flight(
        self, *, provider: str, resource: str, location: str | None = None, limit: int = 20
    ) -> Sequence[Submission]:
        """Return submissions in flight, the next due first. Claims nothing."""
        everything = select(submissions)
        query = _in_flight(everything, provider, resource, location, None).limit(limit)
        with self._database.read() as connection:
            return [to_submission(row) for row in connection.execute(query).mappings()]

    def release_claims(self, owner: str) -> None:
        """Release what `owner` claimed and did not poll."""
        columns = submissions.c
        claimed = (
            select(columns.submission_key)
            .where(columns.claimed_by == owner)
            .order_by(columns.batch, columns.partition_key, columns.submission_key)
            .with_for_update()
        )
        with self._database.write() as connection:
            keys = connection.execute(claimed).scalars().all()
            _claim(connection, keys, _UNCLAIMED)

    def record_poll(
        self,
        submission_key: str,
        report: RunReport,
        *,
        next_poll_at: datetime | None,
        cost_usd: Decimal | None,
        cost_basis: CostBasis,
        sealed_links: Mapping[str, str] = {},
    ) -> Submission:
        """Write what a poll or cancel said, and end the claim.

        A state that goes back (running → queued) or is unknown keeps the state and counts the
        poll. A poll that changes neither state nor outputs moves no revision. An ended run sets
        `finished_at`, `run_ms` (the report's, else since `submitted_at`), `flotime_ms`, cost,
        `reserved_usd`, and its outputs. Each new `output_id` gets the next unused index, in report
        order; indexes are never reused, not even those of detached outputs, and a repeated
        `output_id` counts once. A report for a run that already ended may only add outputs
        (clears `collected_at`) and replace the cost with a newly reported charge.
        `sealed_links` (by `output_id`) are kept with outputs that are new until those
        are stored. A link that is not sealed never gets here.
        """
        with changing(self._database, submission_key) as (change, row):
            state = _check_run(row, report)
            after = _forward(state, report.state)
            if state not in IN_FLIGHT:
                change.note(row, **_UNCLAIMED)
                _take_charge(change, row, cost_usd, cost_basis)
                _add_outputs(change, row, report, sealed_links)
            elif after is not None and after not in IN_FLIGHT:
                cost = _cost(cost_usd, cost_basis)
                change.move(
                    [row], after, **_said(row, report), **_ended(change, row, report), **cost
                )
                ended = change.lock_submission(submission_key)
                _add_outputs(change, ended, report, sealed_links)
                if after is SubmissionState.CANCELED:
                    change.lower_goal(1)
                if after is SubmissionState.SUCCEEDED:
                    measure(self._database, change.connection, row, report, change.now)
            else:
                said = {**_said(row, report), "asked_at": change.now}
                _polled_on(change, row, after, {**said, "next_poll_at": next_poll_at})
            return change.submission(submission_key)

    def postpone_poll(self, submission_key: str, next_poll_at: datetime, reason: str) -> None:
        """Ask again later: the poll, or the search for an unresolved run, failed. Ends the claim,
        counts no poll, moves no revision; works in flight and unresolved, else does nothing."""
        columns = submissions.c
        known = select(columns.submission_key).where(columns.submission_key == submission_key)
        with self._database.write() as connection:
            if connection.execute(known).one_or_none() is None:
                raise SubmissionNotFound(f"no submission {submission_key} in this ledger")
            connection.execute(
                update(submissions)
                .where(
                    columns.submission_key == submission_key, columns.state.in_(sorted(AT_PROVIDER))
                )
                .values(next_poll_at=next_poll_at, reason=reason, **_UNCLAIMED)
            )

    def mark_due(self, submission_key: str, at: datetime | None = None) -> bool:
        """Make an in-flight submission due now, because a callback said that it ended, or
        no later than `at`, because there is time to.

        Never touches the state, and moves no revision; one that is due already, or not in flight,
        is left as it is. False: a poll of it is under way, and may miss what was said; mark it
        again when that has ended. Raises: SubmissionNotFound.
        """
        columns = submissions.c
        known = (
            select(
                columns.state, columns.next_poll_at, columns.claimed_by, columns.claim_expires_at
            )
            .where(columns.submission_key == submission_key)
            .with_for_update()
        )
        with self._database.write() as connection:
            now = self._database.clock.now()
            row = connection.execute(known).mappings().one_or_none()
            if row is None:
                raise SubmissionNotFound(f"no submission {submission_key} in this ledger")
            if SubmissionState(row["state"]) not in IN_FLIGHT:
                return True
            if row["claimed_by"] is not None and row["claim_expires_at"] > now:
                return False
            if row["next_poll_at"] > (at or now):
                connection.execute(
                    update(submissions)
                    .where(columns.submission_key == submission_key)
                    .values(next_poll_at=at or now)
                )
            return True


def _claim(connection: Connection, keys: Sequence[str], claim: dict[str, Any]) -> None:
    for chunk in chunks(keys):
        connection.execute(
            update(submissions).where(submissions.c.submission_key.in_(chunk)).values(claim)
        )


def _in_flight(
    query: Select[Any], provider: str, resource: str, location: str | None, night: Night | None
) -> Select[Any]:
    columns = submissions.c
    query = query.where(
        columns.provider == provider,
        columns.resource == resource,
        columns.next_poll_at.is_not(None),
        # `next_poll_at` is set only while in flight or unresolved, so this selects rows in flight.
        # Not by a list of states: PostgreSQL then underestimates the rows and picks a bad plan.
        columns.state != SubmissionState.UNRESOLVED,
        not_elsewhere(columns.batch, location),
    )
    if night is not None:
        query = query.where(*of_night(night))
    return query.order_by(columns.next_poll_at, columns.submission_key)


def _check_run(row: RowMapping, report: RunReport) -> SubmissionState:
    """Return the state of a submission that has this very provider run."""
    key, state = row["submission_key"], SubmissionState(row["state"])
    if row["provider_run_id"] is None:
        raise IllegalTransition(key, state, report.state or "polled")
    if row["provider_run_id"] != storable(report.provider_run_id):
        raise LedgerError(
            f"submission {key} has provider run {row['provider_run_id']}, "
            f"the report is about {report.provider_run_id}"
        )
    return state


def _forward(before: SubmissionState, said: SubmissionState | None) -> SubmissionState | None:
    """Return the state to move to; None when the answer leads nowhere new, or back."""
    if said is None or said is before:
        return None
    if said in IN_FLIGHT and said not in TRANSITIONS[before]:
        return None
    return said


def _said(row: RowMapping, report: RunReport) -> dict[str, Any]:
    return {
        "provider_status": report.provider_status,
        "error_code": report.error_code,
        "error_message": report.error_message,
        "polls": row["polls"] + 1,
        "reason": None,
        **_UNCLAIMED,
    }


def _ended(change: NightChange, row: RowMapping, report: RunReport) -> dict[str, Any]:
    finished_at = report.finished_at or change.now
    run_ms = report.run_ms
    if run_ms is None:
        run_ms = max(0, (finished_at - row["submitted_at"]) // _MILLISECOND)
    return {
        "finished_at": finished_at,
        "run_ms": run_ms,
        "flotime_ms": report.flotime_ms,
        "next_poll_at": None,
    }


def _cost(cost_usd: Decimal | None, basis: CostBasis) -> dict[str, Any]:
    """Return the columns of a cost; one that is known takes the place of the reservation."""
    cost = {"cost_usd": cost_usd, "cost_basis": CostBasis(basis).value}
    return cost if cost_usd is None else {**cost, "reserved_usd": cost_usd}


def _take_charge(
    change: NightChange, row: RowMapping, cost_usd: Decimal | None, basis: CostBasis
) -> None:
    """Write a charge that is told of a run that ended before, where it is news."""
    known = (row["cost_usd"], row["cost_basis"])
    if basis is CostBasis.CHARGED and cost_usd is not None and known != (usd(cost_usd), basis):
        change.write([row], **_cost(cost_usd, basis))


def _polled_on(
    change: NightChange, row: RowMapping, after: SubmissionState | None, values: dict[str, Any]
) -> None:
    if values["next_poll_at"] is None:
        raise LedgerError(f"submission {row['submission_key']} is in flight: say when to poll next")
    if after is None:
        change.note(row, **values)
    else:
        change.move([row], after, **values)


def _add_outputs(
    change: NightChange, row: RowMapping, report: RunReport, sealed_links: Mapping[str, str]
) -> None:
    """Assign the next free index to every output not seen before, in the order of the report."""
    key = row["submission_key"]
    query = select(outputs).where(outputs.c.submission_key == key).order_by("output_index")
    known = [to_output(one) for one in change.connection.execute(query).mappings()]
    refs: dict[str, OutputRef] = {}
    for ref in report.outputs:
        refs.setdefault(storable(ref.output_id), ref)
    named = [replace(ref, output_id=output_id) for output_id, ref in refs.items()]
    seen = {ref.output_id for ref in known_again(named, known).values()}
    new = {output_id: ref for output_id, ref in refs.items() if output_id not in seen}
    if not new:
        return
    first = next_output_index(change.connection, key)
    values = [
        {
            "submission_key": key,
            "output_index": index,
            "output_id": ref.output_id,
            "kind": ref.kind,
            "file_name": ref.file_name,
            "node": ref.node,
            "declared_type": ref.media_type,
            "declared_bytes": ref.size_bytes,
            "attempts": 0,
            "sealed_link": sealed_links.get(ref.output_id),
        }
        for index, ref in enumerate(new.values(), start=first)
    ]
    change.connection.execute(insert(outputs), values)
    # A picture that shows up late has to be fetched too, also where all seemed collected.
    change.write([row], collected_at=None)
