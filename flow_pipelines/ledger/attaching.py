"""Attach and detach provider runs; record second runs and settlements (who decided what, why)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from flow_pipelines.ledger.changing import NightChange, changing
from flow_pipelines.ledger.closed import closed_owners
from flow_pipelines.ledger.column_types import storable, usd
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.records import DetachedOutput, SecondRun, Settlement
from flow_pipelines.ledger.schema import (
    detached_outputs,
    outputs,
    second_runs,
    settlements,
    submissions,
    workflows,
)
from flow_pipelines.model import CostBasis, Receipt, Submission, SubmissionState, Workflow
from flow_pipelines.model.errors import IllegalTransition, LedgerError
from flow_pipelines.model.states import CALLBACK_ATTACHES

_S = SubmissionState
RUN_COLUMNS_RESET: dict[str, Any] = {
    **dict.fromkeys(("provider_run_id", "provider_status", "error_code", "error_message")),
    **dict.fromkeys(("submitted_at", "finished_at", "next_poll_at", "asked_at", "collected_at")),
    **dict.fromkeys(("run_ms", "flotime_ms", "cost_usd", "claimed_by", "claim_expires_at")),
    "polls": 0,
    "cost_basis": CostBasis.UNKNOWN.value,
}
"""What a submission knows from its provider run, and without one."""


class Attaching:
    """Attached, detached and second runs; `contract` says what holds for every method."""

    _database: Database
    ledger_id: str

    def attach(
        self, submission_key: str, receipt: Receipt, *, who: str, why: str, by_person: bool = False
    ) -> Submission:
        """unresolved → submitted, due for a poll now; who, when, why and the run are kept.

        Its time is the receipt's, else that of the intent, not that of this call.

        Raises: IllegalTransition; LedgerError, when another submission has this provider run, or
        when a person detached it from this one, unless `by_person`.
        """
        with changing(self._database, submission_key) as (change, row):
            if _S(row["state"]) is not _S.UNRESOLVED:
                raise IllegalTransition(submission_key, row["state"], _S.SUBMITTED)
            if not by_person:
                _refuse_detached(change.connection, submission_key, receipt)
            return _attach(change, row, receipt, (who, why))

    def attach_proven(
        self, submission_key: str, receipt: Receipt, *, who: str, why: str
    ) -> Submission:
        """planned, skipped, canceled, failed without a run, or unresolved → submitted.

        For a run that its token, or the answer to its own POST, proves to be this submission's,
        wherever the row has gone since: it exists, and is not bought again. It is due for a poll
        now, the night for collection. Where nothing is reserved, what the last intent reserved is,
        on the day of that intent; where nobody knows that, the workflow's price. A row without any
        intent has one from now on.
        Raises: as `attach`.
        """
        with changing(self._database, submission_key) as (change, row):
            if _S(row["state"]) not in CALLBACK_ATTACHES or row["provider_run_id"] is not None:
                raise IllegalTransition(submission_key, row["state"], _S.SUBMITTED)
            _refuse_detached(change.connection, submission_key, receipt)
            values = {} if row["intents"] else self._first_intent(change)
            if row["reserved_usd"] == 0:
                price = _price(change.connection, row["workflow_version"])
                values["reserved_usd"] = _estimate(row, price)
            return _attach(change, row, receipt, (who, why), **values)

    def _first_intent(self, change: NightChange) -> dict[str, Any]:
        """Return the intent of a run that this ledger knows nothing of."""
        return {"intents": 1, "submitting_at": change.now, "intent_ledger_id": self.ledger_id}

    def detach(self, submission_key: str, *, who: str, why: str) -> Submission:
        """Undo an attachment: any state with a provider run → unresolved, without it.

        Cost, times and errors of the run go. What the intent reserved is reserved again. Its
        outputs become detached ones: stored files stay, and new outputs get indexes above them.
        Raises: IllegalTransition, when it has no provider run.
        """
        with changing(self._database, submission_key) as (change, row):
            run_id = row["provider_run_id"]
            if run_id is None:
                raise IllegalTransition(submission_key, row["state"], _S.UNRESOLVED)
            detach_outputs(change, submission_key, run_id)
            reserved = _estimate(row, row["reserved_usd"])
            reason = f"its run was detached: {why}"
            change.move(
                [row],
                _S.UNRESOLVED,
                **{**RUN_COLUMNS_RESET, "reserved_usd": reserved, "reason": reason},
            )
            settle(change, submission_key, "detach", (who, why), run_id)
            return change.submission(submission_key)

    def detached_outputs(self, submission_key: str) -> Sequence[DetachedOutput]:
        """Return what belongs to none any more, by index."""
        query = (
            select(detached_outputs)
            .where(detached_outputs.c.submission_key == submission_key)
            .order_by(detached_outputs.c.output_index)
        )
        with self._database.read() as connection:
            return [DetachedOutput(**row) for row in connection.execute(query).mappings()]

    def note_key_known(self, submission_key: str, why: str) -> None:
        """Note that the provider refused its idempotency key as known: no copy is sent any more.

        How old the key is nobody knows then, and the provider may soon have forgotten it.
        """
        with changing(self._database, submission_key) as (change, _row):
            settle(change, submission_key, "key_known", ("provider", why))

    def settlements(self, submission_key: str) -> Sequence[Settlement]:
        """Return what was decided about a submission, in order: by `attach`, `attach_proven`,
        `detach`, `note_key_known`, `settle_not_created`, `settle_refused` and
        `settle_second_run`."""
        columns = settlements.c
        query = (
            select(columns.action, columns.who, columns.why, columns.at, columns.provider_run_id)
            .where(columns.submission_key == submission_key)
            .order_by(columns.id)
        )
        with self._database.read() as connection:
            return [Settlement(**row) for row in connection.execute(query).mappings()]

    def note_second_run(self, submission_key: str, provider_run_id: str) -> bool:
        """Keep a run that was proven for a submission that has another one. Again: fine.

        False: it is the very run that the submission has. Raises: SubmissionNotFound.
        """
        run_id = storable(provider_run_id)
        with changing(self._database, submission_key) as (change, row):
            if row["provider_run_id"] == run_id:
                return False
            query = self._database.upsert(second_runs).values(
                submission_key=submission_key, provider_run_id=run_id, heard_at=change.now
            )
            change.connection.execute(query.on_conflict_do_nothing())
            return True

    def second_runs(self, submission_keys: Collection[str]) -> Sequence[SecondRun]:
        """Return the second runs of these submissions, the oldest first."""
        runs: list[SecondRun] = []
        with self._database.read() as connection:
            for chunk in chunks(sorted(set(submission_keys))):
                query = select(second_runs).where(second_runs.c.submission_key.in_(chunk))
                runs += [SecondRun(**row) for row in connection.execute(query).mappings()]
        return sorted(runs, key=lambda run: (run.heard_at, run.provider_run_id))

    def unsettled_second_runs(self, limit: int = 100) -> Sequence[SecondRun]:
        """Return second runs that no person has looked into, the oldest first."""
        query = (
            select(second_runs)
            .where(second_runs.c.settled_why.is_(None))
            .order_by(second_runs.c.heard_at)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [SecondRun(**row) for row in connection.execute(query).mappings()]

    def settle_second_run(
        self, submission_key: str, provider_run_id: str, *, who: str, why: str
    ) -> None:
        """Note what a person found out about a second run. Attaching it does so, too.

        Raises: LedgerError, when no such run is known.
        """
        with changing(self._database, submission_key) as (change, _row):
            if not _settle_second(change.connection, submission_key, provider_run_id, why):
                raise LedgerError(
                    f"no second run {storable(provider_run_id)} of {submission_key} was heard of"
                )
            settle(change, submission_key, "settle_second_run", (who, why), provider_run_id)


def settle(
    change: NightChange,
    submission_key: str,
    action: str,
    settler: tuple[str, str],
    provider_run_id: str | None = None,
) -> None:
    """Keep what was decided about a submission; `settler` is who, and why."""
    who, why = settler
    change.connection.execute(
        insert(settlements).values(
            submission_key=submission_key,
            action=action,
            provider_run_id=provider_run_id,
            who=who,
            why=why,
            at=change.now,
        )
    )


def accept(change: NightChange, row: RowMapping, receipt: Receipt, **values: Any) -> None:
    """Attach a run to a locked submission. Raises: LedgerError, when another one has it."""
    _refuse_second_owner(change.connection, row, receipt.provider_run_id)
    accepted = {
        "provider_run_id": receipt.provider_run_id,
        "provider_status": receipt.provider_status,
        "submitted_at": change.now,
        "reason": None,
    }
    change.move([row], _S.SUBMITTED, **{**accepted, **values})
    change.set(submit_attempts=0, collect_attempts=0)
    _settle_second(change.connection, row["submission_key"], receipt.provider_run_id, "its own run")


def _refuse_second_owner(connection: Connection, row: RowMapping, provider_run_id: str) -> None:
    columns = submissions.c
    query = select(columns.submission_key).where(
        columns.provider == row["provider"],
        columns.provider_run_id == provider_run_id,
        columns.provider_run_id.is_not(None),
    )
    owner = connection.execute(query).scalar_one_or_none()
    closed = closed_owners(connection, row["provider"], [storable(provider_run_id)])
    owner = next(iter(closed.values()), owner)
    if owner is not None:
        run = storable(provider_run_id)
        raise LedgerError(f"provider run {run} already belongs to submission {owner}")


def next_output_index(connection: Connection, submission_key: str) -> int:
    """Return the index above every one that an output of this submission ever had."""
    highest = [
        connection.execute(
            select(func.max(table.c.output_index)).where(table.c.submission_key == submission_key)
        ).scalar_one()
        for table in (outputs, detached_outputs)
    ]
    return 1 + max(-1 if index is None else index for index in highest)


def _attach(
    change: NightChange, row: RowMapping, receipt: Receipt, settler: tuple[str, str], **values: Any
) -> Submission:
    key, run_id = row["submission_key"], receipt.provider_run_id
    if change.before["frozen_at"] is None:
        change.set(frozen_at=change.now)
    accept(
        change,
        row,
        receipt,
        submitted_at=_submitted_at(change, row, receipt),
        next_poll_at=change.now,
        error_code=None,
        error_message=None,
        **values,
    )
    settle(change, key, "attach", settler, run_id)
    return change.submission(key)


def _submitted_at(change: NightChange, row: RowMapping, receipt: Receipt) -> datetime:
    """Return when a run was accepted whose receipt came late: as told, else when it was sent.

    Never before its intent nor after now: the provider's clock is not ours.
    """
    sent_at = row["submitting_at"] or change.now
    return min(max(receipt.created_at or sent_at, sent_at), change.now)


def _estimate(row: RowMapping, otherwise: Decimal | None) -> Decimal:
    known = row["estimate_usd"]
    return usd(known if known is not None else otherwise or Decimal(0))


def _price(connection: Connection, workflow_version: str) -> Decimal | None:
    query = select(workflows.c.content).where(workflows.c.version == workflow_version)
    content = connection.execute(query).scalar_one_or_none()
    return None if content is None else Workflow.from_json(content).price_usd


def _refuse_detached(connection: Connection, submission_key: str, receipt: Receipt) -> None:
    query = (
        select(settlements.c.id)
        .where(
            settlements.c.submission_key == submission_key,
            settlements.c.action == "detach",
            settlements.c.provider_run_id == receipt.provider_run_id,
        )
        .limit(1)
    )
    if connection.execute(query).one_or_none() is not None:
        run = storable(receipt.provider_run_id)
        raise LedgerError(
            f"a person detached provider run {run} from submission {submission_key}: only a "
            "person attaches it again"
        )


def detach_outputs(change: NightChange, submission_key: str, run_id: str) -> None:
    """Detach a run's outputs from their row; what is stored stays in the bucket."""
    of_run = outputs.c.submission_key == submission_key
    kept = ("submission_key", "output_index", "output_id", "bucket", "s3_key", "sha256")
    rows = change.connection.execute(select(*(outputs.c[name] for name in kept)).where(of_run))
    values = [
        {**row, "provider_run_id": run_id, "detached_at": change.now} for row in rows.mappings()
    ]
    if values:
        change.connection.execute(insert(detached_outputs), values)
        change.connection.execute(delete(outputs).where(of_run))


def _settle_second(
    connection: Connection, submission_key: str, provider_run_id: str, why: str
) -> bool:
    query = (
        update(second_runs)
        .where(
            second_runs.c.submission_key == submission_key,
            second_runs.c.provider_run_id == storable(provider_run_id),
        )
        .values(settled_why=why)
    )
    return bool(connection.execute(query).rowcount)
