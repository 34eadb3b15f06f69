"""Poll provider runs within a time budget, or wait for a night; record state, cost, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from flow_pipelines.lifecycle.accounts import Problems, each_account, stop_if_rejected
from flow_pipelines.lifecycle.links import needs_links, sealed_links
from flow_pipelines.lifecycle.poll_intervals import is_given_up
from flow_pipelines.lifecycle.poll_times import (
    IDLE_MAX_IN_FLIGHT,
    Demand,
    demand,
    poll_again_at,
    poll_sooner,
    workload,
)
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.lifecycle.progress import night_progress
from flow_pipelines.model import (
    ENDED,
    IN_FLIGHT,
    Night,
    RunReport,
    Submission,
    SubmissionState,
)
from flow_pipelines.model.errors import (
    AccountRejected,
    IllegalTransition,
    NotFound,
    NoTurn,
    ProviderError,
    ProviderUnavailable,
)

CLAIM = 5
"""Claimed at a time: few enough that a poller which dies hides little, and for a minute only."""
CLAIM_SECONDS = 60.0
IDLE_SECONDS = 2.0
"""How long a waiting run looks away when nothing is due: another process may bring news."""


@dataclass(kw_only=True)
class PollSummary(Problems):
    """What one pass over due provider runs did."""

    polled: int = 0
    ended: int = 0


def poll_due(
    ports: Ports,
    *,
    owner: str,
    budget_seconds: float,
    location: str | None = None,
    night: Night | None = None,
) -> PollSummary:
    """Poll what is due of the account of `ports` until nothing is, or `budget_seconds` are over.

    Of all batches, defined or not, but those of another code location than `location`. Safe to
    repeat and to run in many processes: a claim keeps each run to one poller.
    """
    summary = PollSummary()
    deadline = ports.clock.monotonic() + budget_seconds
    _use_spare_turns(ports, location)
    try:
        while (now := ports.clock.monotonic()) < deadline:
            due = ports.ledger.claim_due(
                owner,
                provider=ports.provider.name,
                resource=ports.resource,
                location=location,
                night=night,
                limit=CLAIM,
                ttl_seconds=CLAIM_SECONDS,
            )
            if not due:
                break
            for submission in due:
                if not _poll(ports, submission, summary) or ports.clock.monotonic() >= deadline:
                    return summary
                if ports.clock.monotonic() - now > CLAIM_SECONDS / 2:
                    break  # the others may soon be somebody else's: claim what is due anew
    finally:
        ports.ledger.release_claims(owner)
    return summary


def _use_spare_turns(ports: Ports, location: str | None) -> None:
    """Move polls forward that were put off for submits which no longer wait."""
    in_flight = ports.ledger.in_flight(
        provider=ports.provider.name,
        resource=ports.resource,
        location=location,
        limit=IDLE_MAX_IN_FLIGHT + 1,
    )
    if len(in_flight) > IDLE_MAX_IN_FLIGHT:
        return
    for submission in in_flight:
        if demand(workload(ports, submission.resource)) is Demand.IDLE:
            poll_sooner(ports, submission)


def _poll(ports: Ports, submission: Submission, summary: PollSummary) -> bool:
    """Poll one run; False: polling others would be of no use now."""
    if submission.provider_run_id is None:
        return True
    workflow = ports.workflow(submission.workflow_version)
    try:
        report = ports.provider.poll(submission.provider_run_id, workflow)
    except NoTurn as error:
        # Nothing was sent, so it stays due.
        summary.note(str(error))
        return False
    except (ProviderUnavailable, AccountRejected) as error:
        stop_if_rejected(ports, submission.resource, error)
        _postpone(ports, submission, error, summary)
        return False
    except ProviderError as error:
        if not (isinstance(error, NotFound) and is_given_up(submission, ports.clock.now())):
            _postpone(ports, submission, error, summary)
            return True
        # The provider has deleted it: polling on would keep the night open for ever.
        report = RunReport(
            provider_run_id=submission.provider_run_id, state=None, provider_status="not found"
        )
    summary.polled += 1
    if report.state is SubmissionState.SUCCEEDED and needs_links(ports):
        # A collection in this process uses these links instead of polling for them again.
        now = ports.clock.monotonic()
        ports.caches.links.put(submission.submission_key, report.outputs, now)
    after = record_report(ports, submission, report, run_timeout_seconds(ports, submission.night))
    summary.ended += after is not None and after.state in ENDED
    return True


def run_timeout_seconds(ports: Ports, night: Night) -> float:
    """Return after how many seconds a run of this night is overdue."""

    def read() -> float:
        record = ports.ledger.night(night)
        return record.run_timeout_seconds if record else 0.0

    return ports.caches.run_timeouts.get_or(night, ports.clock.monotonic(), read)


def _postpone(
    ports: Ports, submission: Submission, error: ProviderError, summary: PollSummary
) -> None:
    summary.note(str(error))
    timeout = run_timeout_seconds(ports, submission.night)
    at = poll_again_at(ports, submission, timeout, advice_seconds=error.retry_after_seconds)
    ports.ledger.postpone_poll(submission.submission_key, at, str(error))


def record_report(
    ports: Ports, submission: Submission, report: RunReport, timeout_seconds: float
) -> Submission | None:
    """Write what a provider said about a run, with its cost; None: somebody else wrote it."""
    now = ports.clock.now()
    if report.state not in ENDED and is_given_up(submission, now):
        report = replace(
            report,
            state=SubmissionState.FAILED,
            error_code="never_ended",
            error_message=(
                f"still {report.provider_status!r} seven days after it was submitted; "
                "given up. The provider may have billed it"
            ),
        )
    if report.account_problem:
        ports.ledger.stop_account(
            submission.resource,
            report.error_code or report.provider_status,
            report.error_message or "the provider ended a run for lack of balance or credit",
        )
    report = replace(report, has_run=submission.state is SubmissionState.RUNNING)
    cost = ports.provider.cost(report, _price_usd(submission))
    try:
        return ports.ledger.record_poll(
            submission.submission_key,
            report,
            next_poll_at=poll_again_at(ports, submission, timeout_seconds, report),
            cost_usd=cost.amount_usd,
            cost_basis=cost.basis,
            sealed_links=sealed_links(ports, submission.submission_key, report),
        )
    except IllegalTransition as error:
        ports.log(f"a poll came too late: {error}")
        return None


def _price_usd(submission: Submission) -> Decimal | None:
    """Return what its run was to cost; an intent of a version before kept the reservation only."""
    if submission.estimate_usd is None and submission.reserved_usd > 0:
        return submission.reserved_usd
    return submission.estimate_usd


def wait_for_night(ports: Workplace, night: Night, *, owner: str, wait_seconds: float) -> int:
    """Poll a night's runs until all ended or `wait_seconds` are over; return how many did not.

    Each with the account it was sent with. Those of an account that is not configured are named
    and not waited for. Logs a line when a tenth of the night's rows has ended, so that a night of
    any size has about ten. The wait is bounded; nothing is lost when it ends early.

    Raises: RunEnded, when `owner` is a Dagster run that was ended meanwhile.
    """
    deadline = ports.clock.monotonic() + wait_seconds
    reported: object = None
    missing: set[str] = set()
    while True:
        ports.ledger.check_run(owner)
        waiting = [item for item in ports.ledger.outstanding(night=night) if item.in_flight]
        accounts = list(each_account(ports, waiting, missing.add))
        _poll_each(accounts, night, owner, deadline)
        in_flight = _in_flight(ports, night)
        reported = _report_progress(ports, night, reported)
        if not in_flight or not accounts or ports.clock.monotonic() >= deadline:
            for line in sorted(missing):
                ports.log(line)
            return in_flight
        ports.clock.sleep(min(IDLE_SECONDS, max(deadline - ports.clock.monotonic(), 0.0)))


def _poll_each(accounts: Sequence[Ports], night: Night, owner: str, deadline: float) -> None:
    """Poll a night's runs once, each account for its share of the time."""
    for ports in accounts:
        left = deadline - ports.clock.monotonic()
        budget_seconds = max(min(left, 30.0) / len(accounts), 1.0)
        summary = poll_due(ports, owner=owner, budget_seconds=budget_seconds, night=night)
        for line in summary.errors:
            ports.log(line)


def _report_progress(ports: Workplace, night: Night, reported: object) -> object:
    """Log how far a night has come, unless that was `reported`; return what was reported last."""
    progress = night_progress(night, ports.ledger.tallies(night), ports.clock.now())
    now = (progress.generation, progress.percent // 10, progress.under_way)
    if now != reported:
        ports.log(progress.in_words())
    return now


def _in_flight(ports: Workplace, night: Night) -> int:
    record = ports.ledger.night(night)
    if record is None:
        return 0
    return sum(record.counts.get(state, 0) for state in IN_FLIGHT)
