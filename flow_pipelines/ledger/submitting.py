"""Write intents (checks lease, stop switch, budgets), receipts and lost or refused answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from flow_pipelines.ledger.attaching import accept, settle
from flow_pipelines.ledger.changing import (
    NightChange,
    changing,
    locked_night,
    of_night,
    utc_day,
)
from flow_pipelines.ledger.column_types import usd
from flow_pipelines.ledger.contract import OURSELVES, UNDER_WAY
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.leases import (
    check_lease,
    check_not_paused,
    lease_in_force,
    not_elsewhere,
)
from flow_pipelines.ledger.rows import night_of
from flow_pipelines.ledger.schema import budget_days, nights, submissions
from flow_pipelines.ledger.shared_faults import check_asked_for, refuse
from flow_pipelines.model import Night, Receipt, Submission, SubmissionState
from flow_pipelines.model.errors import (
    BudgetExceeded,
    CommitUnknown,
    IllegalTransition,
    IntentInDoubt,
    LedgerError,
    SettledTooEarly,
)
from flow_pipelines.model.states import check_transition
from flow_pipelines.model.wording import money

_S = SubmissionState
_NOTHING = Decimal(0)


class Submitting:
    """Intents, receipts and refusals; `contract` says what holds for every method."""

    _database: Database
    ledger_id: str

    def begin_submission(  # noqa: PLR0913 - what one transaction checks and writes
        self,
        submission_key: str,
        *,
        lease: str,
        owner: str,
        resource: str,
        body_sha256: str,
        estimate_usd: Decimal | None,
        budget_usd: Decimal | None,
        daily_budget_usd: Decimal | None,
        planned: Submission | None = None,
    ) -> Submission:
        """Write the intent: planned → submitting, with its reservation. Then POST, at once.

        `planned` is the row as it was read and prepared. `resource` is the account that it is sent
        with, whatever it was planned for; with this ledger's id and `body_sha256` it stays with the
        intent. Counts the intent. `estimate_usd` is the price of the run and its
        reservation; None: nobody knows one, nothing is reserved.

        Raises: Paused; LeaseLost, unless `owner` holds `lease` now; NightStopped; WaitsForAsk,
        also when the row is to send something else than `planned`; BudgetExceeded, with its scope,
        when `estimate_usd` on top of what is reserved exceeds a budget (equal is within);
        IllegalTransition. Nothing is changed then. IntentInDoubt, where it may have been written:
        send nothing for it, and `return_to_plan` what it has as `sent`.
        """
        estimate = _to_reserve(estimate_usd)
        with _doubted() as written, changing(self._database, submission_key) as (change, row):
            check_not_paused(change.connection)
            check_lease(change.connection, lease, owner, change.now)
            check_transition(submission_key, _S(row["state"]), _S.SUBMITTING)
            check_asked_for(change, row, planned)
            _check_budget("partition", change.reserved_usd, estimate, budget_usd)
            day = self._lock_day(change, resource)
            _check_budget("day", day, estimate, daily_budget_usd)
            if change.before["frozen_at"] is None:
                change.set(frozen_at=change.now)
            change.move(
                [row],
                _S.SUBMITTING,
                submitting_at=change.now,
                reserved_usd=estimate,
                estimate_usd=estimate_usd,
                dagster_run_id=owner,
                resource=resource,
                intents=row["intents"] + 1,
                intent_ledger_id=self.ledger_id,
                body_sha256=body_sha256,
                ask=change.value("asks"),
                refusal=None,
                reason=None,
            )
            written.append(change.submission(submission_key))
            return written[0]

    def record_receipt(
        self,
        submission_key: str,
        receipt: Receipt,
        next_poll_at: datetime,
        *,
        sent: Submission | None = None,
    ) -> Submission:
        """Write the receipt: submitting → submitted. Resets the night's attempts.

        Here and in the next three, `sent` is what `begin_submission` gave. With it, an answer
        that comes so late that its row has another intent by now is an IllegalTransition: it
        proves nothing about that one.
        Raises: IllegalTransition; LedgerError, when another submission has this provider run.
        """
        with changing(self._database, submission_key) as (change, row):
            _require(row, _S.SUBMITTING, _S.SUBMITTED, sent)
            accept(change, row, receipt, next_poll_at=next_poll_at)
            return change.submission(submission_key)

    def return_to_plan(
        self, submission_key: str, reason: str, *, sent: Submission | None = None
    ) -> Submission:
        """submitting → planned: proven not accepted. The reservation is given back."""
        return self._leave(submission_key, _S.PLANNED, sent, reason=reason, reserved_usd=_NOTHING)

    def reject_submission(
        self,
        submission_key: str,
        code: str | None,
        message: str,
        *,
        sent: Submission | None = None,
        refusal: str | None = None,
    ) -> Submission:
        """submitting → failed: this row is at fault. The reservation is given back.

        `refusal` is `RequestRejected.kind`: the same for the same fault; it stays with the row.
        The night's third of one kind since it was asked for (`note_ask`), with no acceptance
        since, stops the night: those three are planned again, here and in `settle_refused`.
        """
        with changing(self._database, submission_key) as (change, row):
            _require(row, _S.SUBMITTING, _S.FAILED, sent)
            refuse(change, row, (code, message, refusal))
            return change.submission(submission_key)

    def park_submission(
        self, submission_key: str, reason: str, *, sent: Submission | None = None
    ) -> Submission:
        """submitting → unresolved. The reservation stays: it may have been bought."""
        return self._leave(submission_key, _S.UNRESOLVED, sent, reason=reason)

    def settle_refused(
        self,
        sent: Submission,
        after: SubmissionState,
        *,
        code: str | None,
        why: str,
        refusal: str | None = None,
    ) -> Submission:
        """unresolved → planned, or failed: the refusal of the POST of intent `sent`, which came
        after others had parked it. The reservation is given back, and a settlement kept.

        Only where no copy of that POST is ever sent: it proves nothing about a copy.
        Raises: IllegalTransition, also when the row has another intent by now.
        """
        key = sent.submission_key
        with changing(self._database, key) as (change, row):
            _require(row, _S.UNRESOLVED, after, sent)
            if after is _S.FAILED:
                refuse(change, row, (code, why, refusal))
            else:
                change.move([row], after, next_poll_at=None, reason=why, reserved_usd=_NOTHING)
            settle(change, key, "settle_not_created", (OURSELVES, why))
            return change.submission(key)

    def park_abandoned(
        self, *, location: str | None = None, night: Night | None = None, owner: str = ""
    ) -> Sequence[Submission]:
        """submitting → unresolved for all whose night's submit lease is free: their process died
        between intent and receipt. Returns what it parked.

        `night`: of this one only. `owner` has sent nothing yet: what is `submitting` under its
        lease belongs to a process that died.
        """
        columns = nights.c
        query = (
            select(columns.batch, columns.partition_key)
            .where(columns.attention.is_(True), not_elsewhere(columns.batch, location))
            .where(columns[f"count_{_S.SUBMITTING}"] > 0)
            .order_by(columns.batch, columns.partition_key)
        )
        if night is not None:
            query = query.where(*of_night(night, nights))
        with self._database.read() as connection:
            submitting = [night_of(where) for where in connection.execute(query).mappings()]
        parked: list[Submission] = []
        if submitting:
            with self._database.write() as connection:
                for submitting_night in submitting:
                    with locked_night(self._database, connection, submitting_night) as change:
                        parked += _park_abandoned(change, owner)
        return parked

    def settle_not_created(self, submission_key: str, *, who: str, why: str) -> Submission:
        """unresolved → planned, on a person's word; who, when and why are kept.

        Raises: SettledTooEarly, within UNDER_WAY of the intent, while the run that wrote it holds
        the night's submit lease, and while a copy may be under way: a POST that is still on its
        way would be billed beside the next one. IllegalTransition.
        """
        with changing(self._database, submission_key) as (change, row):
            _require(row, _S.UNRESOLVED, _S.PLANNED)
            _refuse_under_way(change, row)
            change.move([row], _S.PLANNED, reason=why, reserved_usd=_NOTHING, next_poll_at=None)
            settle(change, submission_key, "settle_not_created", (who, why))
            return change.submission(submission_key)

    def skip(self, submission_keys: Collection[str], reason: str) -> int:
        """planned → skipped; what is not planned is left alone. Returns how many."""
        return self._drop(submission_keys, _S.SKIPPED, reason)

    def cancel_planned(self, submission_keys: Collection[str], reason: str) -> int:
        """planned → canceled; what is not planned is left alone. Returns how many."""
        return self._drop(submission_keys, _S.CANCELED, reason)

    def _leave(
        self, submission_key: str, after: SubmissionState, sent: Submission | None, **values: Any
    ) -> Submission:
        with changing(self._database, submission_key) as (change, row):
            _require(row, _S.SUBMITTING, after, sent)
            change.move([row], after, **values)
            return change.submission(submission_key)

    def _drop(self, keys: Collection[str], after: SubmissionState, reason: str) -> int:
        dropped = 0
        with self._database.write() as connection:
            for night in _nights_of(connection, keys):
                with locked_night(self._database, connection, night) as change:
                    rows = change.lock_submissions(keys, _S.PLANNED)
                    change.move(rows, after, reason=reason)
                    dropped += len(rows)
        return dropped

    def _lock_day(self, change: NightChange, resource: str) -> Decimal:
        """Return what the account's day holds; nobody else adds to it before this transaction."""
        day = utc_day(change.now)
        query = self._database.upsert(budget_days).values(
            resource=resource, day=day, reserved_usd=_NOTHING
        )
        change.connection.execute(query.on_conflict_do_nothing())
        columns = budget_days.c
        locked = (
            select(columns.reserved_usd)
            .where(columns.resource == resource, columns.day == day)
            .with_for_update()
        )
        total: Decimal = change.connection.execute(locked).scalar_one()
        return total


@contextmanager
def _doubted() -> Iterator[list[Submission]]:
    """Raise IntentInDoubt with what was written when its commit is unknown."""
    written: list[Submission] = []
    try:
        yield written
    except CommitUnknown as error:
        raise IntentInDoubt(str(error), written[0]) from error


def _require(
    row: RowMapping,
    before: SubmissionState,
    after: SubmissionState,
    sent: Submission | None = None,
) -> None:
    """Refuse another way into `after` than the one from `before`: each has its own method.

    Refuse, too, what is told about another intent than the row's present one.
    """
    state = _S(row["state"])
    if state is not before or (sent is not None and not _is_intent(row, sent)):
        raise IllegalTransition(row["submission_key"], state, after)


def _is_intent(row: RowMapping, sent: Submission) -> bool:
    present: tuple[object, object] = (row["submitting_at"], row["dagster_run_id"])
    return present == (sent.submitting_at, sent.dagster_run_id)


def _refuse_under_way(change: NightChange, row: RowMapping) -> None:
    """Raise SettledTooEarly while the POST of this row, or a copy of it, may be on its way."""
    key, sent_at = row["submission_key"], row["submitting_at"]
    if sent_at is not None and change.now < sent_at + UNDER_WAY:
        raise SettledTooEarly(
            f"submission {key} was sent at {sent_at:%H:%M:%S} UTC, and its request may still be "
            f"under way: say that it was not created after {sent_at + UNDER_WAY:%H:%M:%S} UTC"
        )
    lease = lease_in_force(change.connection, f"submit:{change.night}", change.now, lock=True)
    if lease is not None and lease.owner == row["dagster_run_id"]:
        raise SettledTooEarly(
            f"the run {lease.owner} that sent submission {key} is still submitting: wait until it "
            "has ended, or cancel it, before saying that nothing was created"
        )
    copy = lease_in_force(change.connection, f"replay:{key}", change.now, lock=True)
    if copy is not None:
        raise SettledTooEarly(
            f"submission {key} was sent again under its key, and that request may still be under "
            f"way: say that it was not created after {copy.expires_at:%H:%M:%S} UTC"
        )


def _to_reserve(estimate_usd: Decimal | None) -> Decimal:
    """Return what an estimate reserves; a price that nobody knows reserves nothing."""
    if estimate_usd is None:
        return _NOTHING
    if not estimate_usd.is_finite() or estimate_usd < 0:
        raise LedgerError(f"an estimate of {estimate_usd} USD reserves nothing")
    return usd(estimate_usd)


def _check_budget(scope: str, reserved: Decimal, estimate: Decimal, budget: Decimal | None) -> None:
    if budget is not None and reserved + estimate > budget:
        raise BudgetExceeded(
            f"the budget of this {scope} is {money(budget)}; {money(reserved)} are spent or "
            f"reserved, and the next submission may cost {money(estimate)}",
            scope=scope,
        )


def _park_abandoned(change: NightChange, owner: str) -> Sequence[Submission]:
    lease = lease_in_force(change.connection, f"submit:{change.night}", change.now)
    if lease is not None and lease.owner != owner:
        return []
    query = select(submissions.c.submission_key).where(
        *of_night(change.night), submissions.c.state == _S.SUBMITTING
    )
    keys = change.connection.execute(query).scalars().all()
    rows = change.lock_submissions(keys, _S.SUBMITTING)
    reason = "the process that submitted it ended before a receipt was written"
    change.move(rows, _S.UNRESOLVED, reason=reason)
    return [change.submission(row["submission_key"]) for row in rows]


def _nights_of(connection: Connection, keys: Collection[str]) -> Sequence[Night]:
    columns = submissions.c
    nights_of_keys: set[Night] = set()
    for chunk in chunks(sorted(keys)):
        query = select(columns.batch, columns.partition_key).where(
            columns.submission_key.in_(chunk)
        )
        nights_of_keys |= {Night(*row) for row in connection.execute(query.distinct())}
    return sorted(nights_of_keys)
