"""Canceling: rows that were not sent are not sent, provider runs are ended where that is possible.

Spends nothing. Whether a canceled provider run is billed is for its provider to say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from flow_pipelines.lifecycle.accounts import by_account
from flow_pipelines.lifecycle.poll import record_report
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.model import (
    ENDED,
    IN_FLIGHT,
    Night,
    Submission,
    SubmissionState,
    Workflow,
)
from flow_pipelines.model.errors import AccountRejected, ProviderError, ProviderUnavailable
from flow_pipelines.model.states import OUTCOME_UNKNOWN

BUDGET_SECONDS = 600.0
"""Longest time that one night's cancellation may take: enough for 1000 requests at 100 a minute."""


@dataclass(kw_only=True)
class CancelSummary:
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
    errors: list[str] = field(default_factory=list)
    """One line for each kind of thing that went wrong."""

    def note(self, line: str) -> None:
        """Keep a line once."""
        if line not in self.errors:
            self.errors.append(line)


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
    summary.planned = ports.ledger.cancel_planned([one.submission_key for one in planned], why)
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
    for account, mine in by_account(ports, in_flight, summary.note):
        if account.provider.capabilities.cancel:
            summary.going_on -= len(mine)
            left = max(deadline - ports.clock.monotonic(), 0.0)
            _Canceling(account, summary).run(mine, _timeout(ports, night), left)


def _chosen(
    ports: Workplace,
    night: Night,
    states: Collection[SubmissionState],
    keys: Collection[str] | None,
) -> Sequence[Submission]:
    found = ports.ledger.submissions(night, states=states)
    return [one for one in found if keys is None or one.submission_key in keys]


def _timeout(ports: Workplace, night: Night) -> float:
    record = ports.ledger.night(night)
    return record.run_timeout_seconds if record else 0.0


class _Canceling:
    """One pass over a night's provider runs."""

    def __init__(self, ports: Ports, summary: CancelSummary) -> None:
        self._ports, self._summary = ports, summary
        self._workflows: dict[str, Workflow] = {}

    def run(
        self, in_flight: Sequence[Submission], timeout_seconds: float, budget_seconds: float
    ) -> None:
        """Cancel one after the other until the time is over or the provider will not listen."""
        deadline = self._ports.clock.monotonic() + budget_seconds
        for done, submission in enumerate(in_flight):
            if self._ports.clock.monotonic() >= deadline:
                self._summary.note("not done in the time that there was; repeat it for the rest")
            elif self._cancel(submission, timeout_seconds):
                continue
            self._summary.going_on += len(in_flight) - done
            return

    def _cancel(self, submission: Submission, timeout_seconds: float) -> bool:
        """Cancel one run; False: going on would be of no use now."""
        if submission.provider_run_id is None:
            return True
        workflow = self._workflow(submission.workflow_version)
        try:
            report = self._ports.provider.cancel(submission.provider_run_id, workflow)
        except (ProviderUnavailable, AccountRejected) as error:
            self._refused(submission, error)
            return False
        except ProviderError as error:
            self._summary.note(str(error))
            self._summary.going_on += 1
            return True
        after = record_report(self._ports, submission, report, timeout_seconds)
        self._count(after or self._ports.ledger.submission(submission.submission_key))
        return True

    def _refused(self, submission: Submission, error: ProviderError) -> None:
        self._summary.note(str(error))
        if isinstance(error, AccountRejected):
            self._ports.ledger.stop_account(
                submission.resource, error.code or str(error.status), error.vendor_message
            )

    def _count(self, after: Submission) -> None:
        if after.state is SubmissionState.CANCELED:
            self._summary.canceled += 1
        elif after.state in ENDED:
            self._summary.ended += 1
        else:
            self._summary.ending += 1

    def _workflow(self, version: str) -> Workflow:
        if version not in self._workflows:
            self._workflows[version] = self._ports.ledger.workflow(version)
        return self._workflows[version]
