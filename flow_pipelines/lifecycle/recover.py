"""After a death: what was being sent becomes unresolved, and what can be found is attached."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.lifecycle.schedule import age_seconds
from flow_pipelines.lifecycle.submit import submit_request
from flow_pipelines.model import Receipt, Submission, Workflow
from flow_pipelines.model.errors import LedgerError, ProviderError

LOOK_UPS = 5
"""Look-ups a call; each costs one request under the rate limit."""
SHORTEST_SECONDS = 15.0
LONGEST_SECONDS = 6 * 3600.0


@dataclass(kw_only=True)
class RecoverSummary:
    """What was found after a death, or a lost answer."""

    parked: int = 0
    """Submissions that turned unresolved: their process died between intent and receipt."""
    found: int = 0
    """Unresolved submissions whose provider run was found and attached."""
    waiting: int = 0
    """Unresolved submissions that are left."""


def recover(ports: Ports, *, batches: Collection[str]) -> RecoverSummary:
    """Park what a dead process was sending, and look for unresolved runs where that is possible.

    Never sends anything that could be billed. Safe to repeat and to run in many processes.
    """
    summary = RecoverSummary(parked=len(ports.ledger.park_abandoned(batches)))
    unresolved = [
        submission
        for submission in ports.ledger.unresolved(batches)
        if submission.provider == ports.provider.name
    ]
    if ports.provider.capabilities.find:
        summary.found = _look_for(ports, unresolved)
    summary.waiting = len(unresolved) - summary.found
    return summary


def _look_for(ports: Ports, unresolved: Collection[Submission]) -> int:
    now = ports.clock.now()
    due = [s for s in unresolved if s.next_poll_at is None or s.next_poll_at <= now]
    workflows: dict[str, Workflow] = {}
    return sum(_find(ports, submission, workflows) for submission in due[:LOOK_UPS])


def _find(ports: Ports, submission: Submission, workflows: dict[str, Workflow]) -> bool:
    now, key = ports.clock.now(), submission.submission_key
    since = (submission.submitting_at or submission.planned_at) - timedelta(hours=1)
    try:
        found = ports.provider.find(submit_request(ports, submission, workflows), since)
    except ProviderError as error:
        found = ()
        ports.log(f"{key}: could not be looked for: {error}")
    if len(found) == 1:
        return _attach(ports, key, found[0])
    wait = min(max(age_seconds(submission, now), SHORTEST_SECONDS), LONGEST_SECONDS)
    why = f"{len(found)} provider runs carry its name; a person has to decide" if found else None
    reason = why or submission.reason or "its outcome is unknown"
    ports.ledger.postpone_poll(key, now + timedelta(seconds=wait), reason)
    return False


def _attach(ports: Ports, key: str, receipt: Receipt) -> bool:
    try:
        ports.ledger.attach(
            key, receipt, who="flow-pipelines", why="found at the provider under its own name"
        )
    except LedgerError as error:
        # Settled meanwhile, or the run belongs to another submission: both are for people.
        ports.log(f"{key}: {error}")
        return False
    ports.log(f"{key}: found as provider run {receipt.provider_run_id}")
    return True
