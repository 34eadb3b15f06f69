"""Decide when a night is stopped: equal refusals, or its first runs to end all failed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping, select

from flow_pipelines.ledger.contract import REFUSED_ALIKE
from flow_pipelines.ledger.schema import submissions
from flow_pipelines.model import IN_FLIGHT, Submission, SubmissionState
from flow_pipelines.model.errors import NightStopped, WaitsForAsk

if TYPE_CHECKING:
    from flow_pipelines.ledger.changing import NightChange

_S = SubmissionState
_REQUEST = ("request_hash", "workflow_version", "provider")


def count_for_ask(
    change: NightChange, rows: Sequence[RowMapping], after: SubmissionState, message: str | None
) -> None:
    """Count what is accepted and what ends of the runs that were sent for the present ask.

    Stops the night when the first of them that ended all failed, as many as it says.
    """
    sent_for_ask = [row for row in rows if row["ask"] == change.value("asks")]
    ended = [row for row in sent_for_ask if _S(row["state"]) in IN_FLIGHT]
    if after is _S.SUBMITTED:
        _increment(change, "ask_accepted", len(sent_for_ask))
    elif after is _S.SUCCEEDED:
        _increment(change, "ask_succeeded", len(ended))
    elif after is _S.FAILED:
        _increment(change, "ask_failed", len(ended))
        if ended:  # not a refusal: that is no run
            _stop_after_failures(change, message)


def check_asked_for(change: NightChange, row: RowMapping, planned: Submission | None) -> None:
    """Refuse to send for a stopped night, or a row that was planned anew since it was asked for."""
    if change.before["stopped"] is not None:
        raise NightStopped(change.before["stopped"])
    mended = planned is not None and any(row[name] != getattr(planned, name) for name in _REQUEST)
    if mended or row["waits_for"] > change.before["asks"]:
        raise WaitsForAsk(row["submission_key"], row["state"], _S.SUBMITTING)


def refuse(
    change: NightChange, row: RowMapping, answer: tuple[str | None, str, str | None]
) -> None:
    """Mark a row as failed; stop the night if all are. `answer`: code, message, refusal kind."""
    code, message, refusal = answer
    change.move(
        [row],
        _S.FAILED,
        next_poll_at=None,
        error_code=code,
        error_message=message,
        refusal=refusal,
        reserved_usd=Decimal(0),
    )
    if refusal is not None:
        _stop_if_refused_alike(change, refusal, message)


def _stop_if_refused_alike(change: NightChange, refusal: str, message: str) -> None:
    """Stop the night at the third equal refusal without an acceptance: its rows are planned again.

    The rows that were refused otherwise stay failed.
    """
    if change.value("ask_accepted"):
        return
    columns = submissions.c
    query = select(columns.submission_key).where(
        columns.batch == change.night.batch,
        columns.partition_key == change.night.partition_key,
        columns.refusal == refusal,
        columns.refusal.is_not(None),  # lets the partial index answer
        columns.ask == change.value("asks"),
    )
    keys = change.connection.execute(query).scalars().all()
    rows = change.lock_submissions(keys, _S.FAILED)
    if len(rows) < REFUSED_ALIKE:
        return
    why = f"refused like every other row: {message}"
    change.move(rows, _S.PLANNED, reason=why, error_code=None, error_message=None)
    _stop(change, f"{len(rows)} rows were refused alike and none was accepted: {message}")


def _stop_after_failures(change: NightChange, message: str | None) -> None:
    limit, failed = change.value("stop_after_failures"), change.value("ask_failed")
    if limit is not None and failed >= limit and not change.value("ask_succeeded"):
        last = f"; the last: {message}" if message else ""
        _stop(change, f"the first {failed} runs that ended all failed{last}")


def _stop(change: NightChange, why: str) -> None:
    if change.value("stopped") is None:
        change.set(stopped=why)


def _increment(change: NightChange, counter: str, by: int) -> None:
    if by:
        values: dict[str, Any] = {counter: change.value(counter) + by}
        change.set(**values)
