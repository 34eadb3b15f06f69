"""Order the planned submissions that may be sent now; SubmitSummary. Sends nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import NightRecord, Submission, SubmissionState


def to_send(ledger: RunLedger, record: NightRecord, page: int) -> Iterator[Submission]:
    """Return what of a night may be sent, in the order of its table; refused rows come last.

    So rows that merely differ are bought before those that were all refused alike. Rows that
    `prompts` planned since somebody asked are left out.
    """
    for refused in (False, True):
        for one in ledger.each_submission(
            record.night, states={SubmissionState.PLANNED}, size=page
        ):
            if one.waits_for <= record.asks and (one.refusal is not None) is refused:
                yield one


@dataclass(kw_only=True)
class SubmitSummary:
    """What one run of `submit_night` did."""

    submitted: int = 0
    failed: int = 0
    """Rows that the provider refused; nothing was billed for them."""
    unresolved: int = 0
    skipped: int = 0
    left_planned: int = 0
    stopped: str | None = None
    """Why it ended before everything asked for was sent; None: it did not."""
    over_budget: bool = False
    """True: a budget ended it, as it was meant to; the rest is skipped, with the reason."""
    needs_person: bool = False
    """True: going on by itself would only repeat what stopped it."""
    unresolved_in_a_row: int = field(default=0, repr=False)
    unavailable_in_a_row: int = field(default=0, repr=False)
