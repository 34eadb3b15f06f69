"""Choose the next poll time from account load and measured run times; fall back on age alone.

| | first poll | next one |
|---|---|---|
| something waits to be submitted | when nearly all such runs ended | when most of the rest did |
| nothing waits, few in flight | when the first of such runs end | as the spare turns allow |
| nothing waits, many in flight | when most ended | when half of the rest did |
| such runs were never measured | `poll_intervals`'s figures | `poll_intervals`'s figures |

A poll is worth as much as a submit: while turns are short, the one that finds a run ended is the
only one that pays.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum, auto

from flow_pipelines.ledger.records import Workload
from flow_pipelines.lifecycle import poll_intervals
from flow_pipelines.lifecycle.durations import FEWEST, Durations
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import RunReport, Submission, SubmissionState

IDLE_MAX_IN_FLIGHT = 20
"""Runs in flight up to which spare turns go into asking often."""
SECONDS_PER_RUN = 0.55
"""Between two polls of a run, for each run in flight: about what a turn takes."""
SHORTEST_SECONDS = 4.0
SPARE_SHARE = 0.08
"""Of its age, what a long run may be found late, even where nobody else wants the turns."""
FIRST_UNMEASURED_SECONDS = 45.0
"""While something waits and nothing was measured: half a minute to a minute is common for a
picture, and a poll too early is worth a submit."""
CALLBACK_FACTOR = 1.5
"""Where a callback is expected it is given so many times as long as nearly all runs take."""


class Demand(Enum):
    """What the account's turns are wanted for."""

    BUSY = auto()
    """Something waits to be submitted."""
    DRAINING = auto()
    """Nothing does, and much is in flight."""
    IDLE = auto()


_FIRST = {Demand.BUSY: 0.94, Demand.DRAINING: 0.85, Demand.IDLE: 0.04}
_NEXT = {Demand.BUSY: 0.8, Demand.DRAINING: 0.6}
_NEARLY_ALL = 0.98


def workload(ports: Ports, resource: str) -> Workload:
    """Return what the account has before it, as of a moment ago."""
    now = ports.clock.monotonic()
    return ports.caches.workload.get_or(resource, now, lambda: ports.ledger.workload(resource))


def demand(load: Workload) -> Demand:
    """Return what turns are wanted for."""
    if load.waiting:
        return Demand.BUSY
    return Demand.IDLE if load.in_flight <= IDLE_MAX_IN_FLIGHT else Demand.DRAINING


def durations(ports: Ports, submission: Submission) -> Durations | None:
    """Return how long runs of this workflow take; None: too few were measured."""
    version = submission.workflow_version

    def measured() -> tuple[Durations | None]:
        times = ports.ledger.run_times(submission.provider, version)
        bounds = [(run.at_least_seconds, run.at_most_seconds) for run in times]
        return (Durations(bounds) if len(bounds) >= FEWEST else None,)

    return ports.caches.durations.get_or(version, ports.clock.monotonic(), measured)[0]


def first_poll_at(ports: Ports, submission: Submission) -> datetime:
    """Return when a submission that was just accepted is polled first."""
    wait = _first_seconds(ports, submission)
    return ports.clock.now() + timedelta(seconds=wait)


def poll_again_at(
    ports: Ports,
    submission: Submission,
    run_timeout_seconds: float,
    report: RunReport | None = None,
    advice_seconds: float | None = None,
) -> datetime:
    """Return when to poll again after a poll just now; `report` is its answer, unless it failed."""
    now = ports.clock.now()
    advice = max(advice_seconds or 0.0, (report and report.poll_after_seconds) or 0.0)
    plain = poll_intervals.next_poll_at(
        submission,
        now,
        run_timeout_seconds=run_timeout_seconds,
        advice_seconds=advice,
        called_back=_called_back(ports, submission),
    )
    if report is None or poll_intervals.is_overdue(submission, now, run_timeout_seconds):
        return plain
    wait = _next_seconds(ports, submission, report, poll_intervals.age_seconds(submission, now))
    if wait is None or _called_back(ports, submission):
        return plain
    return now + timedelta(seconds=max(wait, advice))


def poll_sooner(ports: Ports, submission: Submission) -> None:
    """Move `next_poll_at` forward when the rate limit has unused requests.

    What it was given while turns were short may be far off. Does nothing where a callback is
    expected or the last poll failed, whose wait is the provider's word, and nothing twice.
    """
    if submission.reason is not None:
        return
    since = submission.asked_at or submission.submitted_at
    if since is None or submission.next_poll_at is None or _called_back(ports, submission):
        return
    age = poll_intervals.age_seconds(submission, since)
    load = workload(ports, submission.resource)
    first = submission.asked_at is None
    wait = _idle_interval(age, load)
    if first:
        measured = durations(ports, submission)
        wait = (measured and measured.age_at(_FIRST[Demand.IDLE])) or poll_intervals.FIRST_SECONDS
    at = since + timedelta(seconds=wait)
    at = max(at, ports.clock.now())
    if at < submission.next_poll_at - timedelta(seconds=1):
        ports.ledger.mark_due(submission.submission_key, at)


def _called_back(ports: Ports, submission: Submission) -> bool:
    address = ports.callback_url(submission.submission_key, submission.intent_ledger_id)
    return address is not None


def _first_seconds(ports: Ports, submission: Submission) -> float:
    called_back = _called_back(ports, submission)
    plain = poll_intervals.first_poll_seconds(called_back=called_back)
    measured = durations(ports, submission)
    if called_back:
        nearly_all = measured.age_at(_NEARLY_ALL) if measured else None
        return max(plain, CALLBACK_FACTOR * (nearly_all or 0.0))
    wanted = demand(workload(ports, submission.resource))
    if measured is None:
        return FIRST_UNMEASURED_SECONDS if wanted is Demand.BUSY else plain
    return measured.age_at(_FIRST[wanted]) or plain


def _next_seconds(
    ports: Ports, submission: Submission, report: RunReport, age: float
) -> float | None:
    """Return the seconds to wait, or None: nothing better than `poll_intervals` is known."""
    load, measured = workload(ports, submission.resource), durations(ports, submission)
    wanted, left = demand(load), _left_by_progress(report, age)
    if wanted is Demand.IDLE:
        return max(_idle_interval(age, load), (left or 0.0) / 2)
    if left is not None:
        return max(left * 1.2, SHORTEST_SECONDS)
    at = measured.age_at(_NEXT[wanted], age) if measured else None
    if at is None:
        return None
    grown = age * poll_intervals.GROWTH if report.state is SubmissionState.QUEUED else 0.0
    return max(at - age, grown, SHORTEST_SECONDS)


def _idle_interval(age: float, load: Workload) -> float:
    return max(SHORTEST_SECONDS, SECONDS_PER_RUN * load.in_flight, SPARE_SHARE * age)


def _left_by_progress(report: RunReport, age: float) -> float | None:
    """Return the seconds that a run still takes if it goes on as it went; None: not told."""
    progress = report.progress
    if progress is None or not 0.1 <= progress < 1:  # noqa: PLR2004 - a beginning tells nothing
        return None
    return age * (1.0 - progress) / progress
