"""Which provider run is a submission's own, when its receipt is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.lifecycle.replay import LATEST
from flow_pipelines.model import Receipt, Submission, SubmissionState, Workflow
from flow_pipelines.provider import SubmitRequest

SKEW = timedelta(minutes=5)
"""How far a provider's clock may be from ours, and how long a request may be on its way."""
MOST_RIVALS = 200
"""With more submissions in doubt than this, nothing is told by exclusion."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Provider runs that may be a submission's."""

    receipts: Sequence[Receipt]
    contested: bool = False
    """True: one of them may as well be another submission's whose receipt is missing, too."""

    @property
    def only(self) -> Receipt | None:
        """The one that it must be; None: nobody can tell."""
        return self.receipts[0] if len(self.receipts) == 1 and not self.contested else None


def last_creation(ports: Ports, sent_at: datetime) -> datetime:
    """Give until when a run of an intent at `sent_at` may have been created."""
    return sent_at + SKEW + (LATEST if ports.provider.capabilities.replays else timedelta())


def candidates(
    ports: Ports, request: SubmitRequest, *, since: datetime, until: datetime
) -> Candidates:
    """Look for the run of `request` among those that nobody has. Safe to repeat.

    Where the provider's list names no submission, a run is told by exclusion: created between
    `since` and `until`, no other submission's, and no other submission can claim it.

    Raises: ProviderError.
    """
    found = ports.provider.find(request, since)
    if not ports.provider.capabilities.finds_by_exclusion:
        return Candidates(receipts=found)
    # First the rivals, then what is known: a receipt that is written in between counts as known.
    rivals = _rivals(ports, request)
    ids = [receipt.provider_run_id for receipt in found]
    known = ports.ledger.known_runs(ports.provider.name, ids)
    free = [
        receipt
        for receipt in found
        if receipt.provider_run_id not in known
        and (receipt.created_at is None or since <= receipt.created_at <= until)
    ]
    contested = rivals is None or any(_is_contested(ports, receipt, rivals) for receipt in free)
    return Candidates(receipts=free, contested=contested)


def _rivals(ports: Ports, request: SubmitRequest) -> Sequence[Submission] | None:
    """List other submissions of this workflow that may have a run whose id is not written yet.

    None: too many to see them all.
    """
    rivals: list[Submission] = []
    for state in (SubmissionState.SUBMITTING, SubmissionState.UNRESOLVED):
        page = ports.ledger.search(provider=ports.provider.name, state=state, limit=MOST_RIVALS)
        if len(page) == MOST_RIVALS:
            return None
        rivals += [
            submission
            for submission in page
            if submission.submission_key != request.submission_key
            and _is_of(submission, request.workflow)
        ]
    return rivals


def _is_of(submission: Submission, workflow: Workflow) -> bool:
    same = submission.workflow_version == workflow.version
    return same or submission.workflow == workflow.reference


def _is_contested(ports: Ports, receipt: Receipt, rivals: Sequence[Submission]) -> bool:
    if receipt.created_at is None:
        return True
    return any(_may_have_made(ports, rival, receipt.created_at) for rival in rivals)


def _may_have_made(ports: Ports, rival: Submission, created_at: datetime) -> bool:
    sent_at = rival.submitting_at
    return sent_at is None or sent_at - SKEW <= created_at <= last_creation(ports, sent_at)
