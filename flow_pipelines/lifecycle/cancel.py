"""Cancel a night: withdraw rows that were not sent, end provider runs where that is possible.

Spends nothing. Whether a canceled provider run is billed is for its provider to say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from flow_pipelines.lifecycle.accounts import Problems, by_account, stop_if_rejected
from flow_pipelines.lifecycle.poll import record_report, run_timeout_seconds
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.model import (
    ENDED,
    IN_FLIGHT,
    Night,
    Submission,
    SubmissionState,
)
from flow_pipelines.model.errors import AccountRejected, ProviderError, ProviderUnavailable
from flow_pipelines.model.states import OUTCOME_UNKNOWN

BUDGET_SECONDS = 600.0
"""Longest time that one night's cancellation may take: enough for 1000 requests at 100 a minute."""


@dataclass(kw_only=True)
class CancelSummary(Problems):
    """What became of the submissions that were to be canceled."""

    planned: int = 0
    """Were not sent yet, and will not be."""
    canceled: int = 0
    """Provider runs that are canceled now."""
    ending: int = 0
    """Provider runs whose cancellation was accepted, and which have not ended yet."""
    ended: int = 0
    """Provider runs that had ended by themselves; how they ended is in the ledger now."""
    going_on: int = 0
    """Provider runs that go on: their provider cannot cancel, or would not."""
    unsettled: int = 0
    """Being sent just now, or of unknown outcome."""
    finished: int = 0
    """Ended before; left alone."""


def cancel_night(
    night: Night,
    ports: Workplace,
    *,
    why: str,
    keys: Collection[str] | None = None,
    budget_seconds: float = BUDGET_SECONDS,
) -> CancelSummary:
    """Cancel a night's submissions, or those of `keys` among them. Safe to repeat.

    Rows that were not sent become canceled, with `why` as their reason, also while another process
    is sending this night. Runs at the provider are canceled within `budget_seconds`, at the pace
    of its rate limit; one that had ended is recorded as what it became. What is being sent at this
    very moment is counted as unsettled: repeat it for those.

    Raises: LedgerError.
    """
    planned = _chosen(ports, night, {SubmissionState.PLANNED}, keys)
    finished = _chosen(ports, night, ENDED, keys)
    summary = CancelSummary(finished=len(finished))
    summary.planned = ports.ledger.cancel_planned([row.submission_key for row in planned], why)
    # Read afterwards: what was planned a moment ago may have been sent meanwhile.
    in_flight = _chosen(ports, night, IN_FLIGHT, keys)
    _cancel_in_flight(night, ports, in_flight, summary, budget_seconds)
    summary.unsettled = len(_chosen(ports, night, OUTCOME_UNKNOWN, keys))
    return summary


def _cancel_in_flight(
    night: Night,
    ports: Workplace,
    in_flight: Sequence[Submission],
    summary: CancelSummary,
    budget_seconds: float,
) -> None:
    """Cancel what is at providers, each run with the account that it was sent with."""
    deadline = ports.clock.monotonic() + budget_seconds
    summary.going_on = len(in_flight)
    for account, submissions in by_account(ports, in_flight, summary.note):
        if account.provider.capabilities.cancel:
            summary.going_on -= len(submissions)
            _Canceling(account, summary, night).run(submissions, deadline)


def _chosen(
    ports: Workplace,
    night: Night,
    states: Collection[SubmissionState],
    keys: Collection[str] | None,
) -> Sequence[Submission]:
    submissions = ports.ledger.submissions(night, states=states)
    return [row for row in submissions if keys is None or row.submission_key in keys]


class _Canceling:
    """One pass over a night's provider runs."""

    def __init__(self, ports: Ports, summary: CancelSummary, night: Night) -> None:
        self._ports, self._summary = ports, summary
        self._timeout_seconds = run_timeout_seconds(ports, night)

    def run(self, in_flight: Sequence[Submission], deadline: float) -> None:
        """Cancel one after the other until the time is over or the provider will not listen."""
        for done, submission in enumerate(in_flight):
            if self._ports.clock.monotonic() >= deadline:
                self._summary.note("not done in the time that there was; repeat it for the rest")
            elif self._cancel(submission):
                continue
            self._summary.going_on += len(in_flight) - done
            return

    def _cancel(self, submission: Submission) -> bool:
        """Cancel one run; False: canceling others would be of no use now."""
        if submission.provider_run_id is None:
            return True
        workflow = self._ports.workflow(submission.workflow_version)
        try:
            report = self._ports.provider.cancel(submission.provider_run_id, workflow)
        except (ProviderUnavailable, AccountRejected) as error:
            self._summary.note(str(error))
            stop_if_rejected(self._ports, submission.resource, error)
            return False
        except ProviderError as error:
            self._summary.note(str(error))
            self._summary.going_on += 1
            return True
        after = record_report(self._ports, submission, report, self._timeout_seconds)
        self._count(after or self._ports.ledger.submission(submission.submission_key))
        return True

    def _count(self, after: Submission) -> None:
        if after.state is SubmissionState.CANCELED:
            self._summary.canceled += 1
        elif after.state in ENDED:
            self._summary.ended += 1
        else:
            self._summary.ending += 1
