"""Next poll from a run's age alone; when a run is overdue, and when it is given up (7 days)."""

from __future__ import annotations

from datetime import datetime, timedelta

from flow_pipelines.model import Submission

FIRST_SECONDS = 10.0
"""Hosted image workflows rarely end sooner; a poll before that is a request wasted."""
GROWTH = 0.4
"""Each poll waits this share of the run's age: polls grow with the logarithm of its duration."""
SHORTEST_SECONDS = 6.0
LONGEST_SECONDS = 120.0
OVERDUE_SHORTEST_SECONDS = 120.0
OVERDUE_LONGEST_SECONDS = 6 * 3600.0
WITH_CALLBACK = 3.0
"""Waits are so many times as long where the provider tells of the end by itself: it is asked once,
then. A callback that is lost makes its run as much later, and never later than the run timeout."""
GIVE_UP = timedelta(days=7)
"""An overdue run is polled for this long before it counts as failed."""


def first_poll_seconds(*, called_back: bool = False) -> float:
    """Return the seconds from a receipt to the first poll."""
    return FIRST_SECONDS * (WITH_CALLBACK if called_back else 1.0)


def next_poll_at(
    submission: Submission,
    now: datetime,
    *,
    run_timeout_seconds: float,
    advice_seconds: float | None = None,
    called_back: bool = False,
) -> datetime:
    """Return when to ask again; `advice_seconds` is the provider's own word.

    `called_back`: the provider was told where to call when the run ends. It may fail to.
    """
    age = age_seconds(submission, now)
    if age > run_timeout_seconds:
        wait = min(max(age * GROWTH, OVERDUE_SHORTEST_SECONDS), OVERDUE_LONGEST_SECONDS)
    else:
        wait = min(max(age * GROWTH, SHORTEST_SECONDS), LONGEST_SECONDS)
        if called_back:
            wait = max(wait, min(wait * WITH_CALLBACK, run_timeout_seconds - age))
    return now + timedelta(seconds=max(wait, advice_seconds or 0.0))


def age_seconds(submission: Submission, now: datetime) -> float:
    """Return the seconds since the provider accepted the submission."""
    since = submission.submitted_at or submission.submitting_at or submission.planned_at
    return max((now - since).total_seconds(), 0.0)


def is_overdue(submission: Submission, now: datetime, run_timeout_seconds: float) -> bool:
    """Return whether a provider run takes longer than its batch allows; it is still collected."""
    return age_seconds(submission, now) > run_timeout_seconds


def is_given_up(submission: Submission, now: datetime) -> bool:
    """Return whether a run was polled for so long that its end is no longer expected."""
    return age_seconds(submission, now) > GIVE_UP.total_seconds()
