"""Write the answer to a POST into the ledger; retries while it is busy and handles late answers.

A refusal that comes after others had parked the submission still proves that nothing was bought.
It counts only while the row has the very intent that was sent, and only where no copy of a POST is
ever sent: the refusal of one says nothing about the other.
"""

from __future__ import annotations

from collections.abc import Callable

from flow_pipelines.lifecycle.poll_times import first_poll_at
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import Receipt, Submission, SubmissionState
from flow_pipelines.model.errors import (
    IllegalTransition,
    LedgerBusy,
    LedgerError,
    RequestRejected,
)

ANSWER_TRIES = 5
"""Times that what an answer proved is offered to a busy ledger, which itself waits each time."""


class Answer:
    """Writes the outcome of one intent: one method, once; only `key_known` may precede it."""

    def __init__(self, ports: Ports, sent: Submission) -> None:
        """Take the intent as `begin_submission` gave it."""
        self._ports, self._ledger = ports, ports.ledger
        self._sent, self._key = sent, sent.submission_key

    def accepted(self, receipt: Receipt) -> None:
        """Write the receipt. Raises: LedgerError, after telling people the id."""
        try:
            self._offer(lambda: self._write_receipt(receipt))
        except LedgerError as error:
            # The id must outlive this process, whatever became of the ledger.
            self._ports.log(
                f"{self._key} was accepted as provider run {receipt.provider_run_id}, which the "
                f"ledger did not take: {error}. `flow-pipelines resolve {self._key} --attach "
                f"{receipt.provider_run_id}` settles it"
            )
            raise

    def not_accepted(self, reason: str) -> None:
        """Plan it again: proven that nothing was bought."""
        self._leave(
            lambda: self._ledger.return_to_plan(self._key, reason, sent=self._sent),
            lambda: self._settle(SubmissionState.PLANNED, None, reason),
        )

    def refused(self, error: RequestRejected) -> None:
        """Mark it as failed: this row is at fault, or all are, and nothing was bought."""
        code, message, kind = error.code, str(error), error.kind
        self._leave(
            lambda: self._ledger.reject_submission(
                self._key, code, message, sent=self._sent, refusal=kind
            ),
            lambda: self._settle(SubmissionState.FAILED, code, message, kind),
        )

    def unknown(self, reason: str) -> None:
        """Park it: perhaps there is a provider run."""
        self._leave(lambda: self._ledger.park_submission(self._key, reason, sent=self._sent))

    def key_known(self, reason: str) -> None:
        """Note that an earlier intent used its key: no copy of it is sent any more."""
        self._offer(lambda: self._ledger.note_key_known(self._key, reason))

    def _write_receipt(self, receipt: Receipt) -> None:
        next_poll_at = first_poll_at(self._ports, self._sent)
        try:
            self._ledger.record_receipt(self._key, receipt, next_poll_at, sent=self._sent)
        except IllegalTransition:
            self._attach_late(receipt)

    def _attach_late(self, receipt: Receipt) -> None:
        """Attach the run wherever its row has gone meanwhile, unless that was done already."""
        why = "the answer to its own submit arrived late"
        try:
            self._ledger.attach_proven(self._key, receipt, who="flow-pipelines", why=why)
        except IllegalTransition:
            has = self._ledger.submission(self._key).provider_run_id
            if has == receipt.provider_run_id:
                return
            # It is this submission's, whatever the row is doing: the next run is one too many.
            self._ledger.note_second_run(self._key, receipt.provider_run_id)
            raise

    def _settle(
        self, after: SubmissionState, code: str | None, said: str, kind: str | None = None
    ) -> object:
        if self._ports.provider.capabilities.replays:
            raise IllegalTransition(self._key, SubmissionState.UNRESOLVED, after)
        why = f"the answer to its own submit arrived late: {said}"
        return self._ledger.settle_refused(self._sent, after, code=code, why=why, refusal=kind)

    def _leave(self, *ways: Callable[[], object]) -> None:
        """Write that no run came of it, or perhaps one, in the first way that is still open."""

        def write() -> None:
            reason = ""
            for way in ways:
                try:
                    way()
                except IllegalTransition as error:
                    reason = str(error)
                else:
                    return
            # Somebody settled it when our lease had ended, or looks into it.
            self._ports.log(f"{self._key}: the answer to its submit arrived late: {reason}")

        self._offer(write)

    def _offer(self, write: Callable[[], None]) -> None:
        """Write what an answer proved; a busy ledger is asked again, within bounds."""
        for attempt in range(ANSWER_TRIES):
            try:
                write()
            except LedgerBusy:
                if attempt + 1 == ANSWER_TRIES:
                    raise
                self._ports.clock.sleep(2.0**attempt)
            else:
                return
