"""What of a night was sent, and in which order its planned rows are."""

from __future__ import annotations

from collections.abc import Iterator

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.pages import each_submission
from flow_pipelines.model import NightRecord, Submission, SubmissionState
from flow_pipelines.model.states import NOT_SENT


def count_sent(record: NightRecord) -> int:
    """Count the submissions that were sent, whatever became of them (`submit_goal`)."""
    return sum(count for state, count in record.counts.items() if state not in NOT_SENT)


def to_send(ledger: RunLedger, record: NightRecord, page: int) -> Iterator[Submission]:
    """Return what of a night may be sent, in the order of its table; refused rows come last.

    So rows that merely differ are bought before those that were all refused alike. Rows that
    `prompts` planned since somebody asked are left out.
    """
    for refused in (False, True):
        for one in each_submission(
            ledger, record.night, states={SubmissionState.PLANNED}, page=page
        ):
            if one.waits_for <= record.asks and (one.refusal is not None) is refused:
                yield one
