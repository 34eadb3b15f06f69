"""Settle what earlier processes left behind, at every start of work on a night.

What was being sent when a process died becomes unresolved; what is proven is attached. Every start
of `provider_runs`, of `images` and of `flow-pipelines collect` comes through `open_night`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flow_pipelines.lifecycle.accounts import each_account
from flow_pipelines.lifecycle.candidates import candidates, in_words, proven
from flow_pipelines.lifecycle.inputs import with_inputs
from flow_pipelines.lifecycle.ownership import refuse_old_tables
from flow_pipelines.lifecycle.poll_intervals import age_seconds
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.lifecycle.replay import is_due, may_replay, replay, replay_is_open
from flow_pipelines.lifecycle.requests import submit_request
from flow_pipelines.model import Night, Receipt, Submission
from flow_pipelines.model.errors import (
    FlowPipelinesError,
    KeyAlreadyKnown,
    LeaseLost,
    LedgerError,
    ProviderError,
    StorageError,
)
from flow_pipelines.provider import SubmitRequest

LOOK_UPS = 5
"""Submissions looked into in a call; each costs a request or a few under the rate limit."""
REPLAYS = 1
"""Copies sent in a call: each may take as long as a request can."""
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


def recover(
    ports: Ports,
    *,
    location: str | None = None,
    night: Night | None = None,
    until: float = math.inf,
) -> RecoverSummary:
    """Park what a dead process was sending, and settle unresolved submissions where possible.

    Settles only what was sent with the account of `ports`: another knows neither its runs nor its
    keys, so a copy sent there would be a new purchase. Of all batches, defined or not, but those
    of another code location than `location`. Begins with nothing once the monotonic clock says
    `until`. Sends nothing that could be billed a second time; see `lifecycle.replay` for what it
    sends again. Safe to repeat and to run in many processes.
    """
    parked = ports.ledger.park_abandoned(location=location, night=night)
    unresolved = ports.ledger.unresolved(
        provider=ports.provider.name, resource=ports.resource, location=location, night=night
    )
    summary = RecoverSummary(parked=len(parked))
    capabilities = ports.provider.capabilities
    if capabilities.find or capabilities.replays:
        summary.found = _settle_due(ports, unresolved, until)
    summary.waiting = len(unresolved) - summary.found
    return summary


def _settle_due(ports: Ports, unresolved: Collection[Submission], until: float) -> int:
    """Search for each due submission's run, then replay those that were not found."""
    now = ports.clock.now()
    settled, lost = 0, []
    for submission in [row for row in unresolved if is_due(row, now)][:LOOK_UPS]:
        if ports.clock.monotonic() >= until:
            return settled
        request = submit_request(ports, submission)
        receipts = _proven(ports, submission, request)
        if len(receipts) == 1:
            settled += _attach(ports, submission, receipts[0], "found at the provider by its name")
        elif may_replay(ports, submission):
            lost.append((submission, request))
        else:
            wait = min(max(age_seconds(submission, now), SHORTEST_SECONDS), LONGEST_SECONDS)
            choice = _choice(ports, submission, request, receipts)
            _put_off(ports, submission, now + timedelta(seconds=wait), choice)
    return settled + sum(_replay(ports, *row) for row in lost[:REPLAYS])


def _proven(ports: Ports, submission: Submission, request: SubmitRequest) -> Sequence[Receipt]:
    try:
        return proven(ports, submission, request)
    except ProviderError as error:
        ports.log(f"{submission.submission_key}: could not be looked for: {error}")
        return ()


def _choice(
    ports: Ports, submission: Submission, request: SubmitRequest, found: Sequence[Receipt] = ()
) -> str:
    """Return the candidates as text; empty while a replay may still settle it."""
    if found:
        return in_words([one.provider_run_id for one in found], "bear its name")
    if replay_is_open(ports, submission):
        return ""
    try:
        return in_words([one.provider_run_id for one in candidates(ports, submission, request)])
    except ProviderError as error:
        ports.log(f"{submission.submission_key}: no candidates could be listed: {error}")
        return ""


def _replay(ports: Ports, submission: Submission, request: SubmitRequest) -> bool:
    """Send a copy and do what its answer allows; True: settled."""
    key = submission.submission_key
    try:
        receipt = replay(ports, submission, with_inputs(ports, submission, request))
    except KeyAlreadyKnown as error:
        ports.ledger.note_key_known(key, str(error))
        reason = "; ".join(filter(None, (str(error), _choice(ports, submission, request))))
        _put_off(ports, submission, ports.ledger.submission(key).next_poll_at, reason)
        return False
    except (ProviderError, StorageError, LeaseLost) as error:
        ports.log(f"{key}: the copy's answer tells nothing of the first: {error}")
        return False
    return receipt is not None and _attach(ports, submission, receipt, "known by its key")


def _put_off(ports: Ports, submission: Submission, until: datetime | None, why: str) -> None:
    reason = why or submission.reason or "its outcome is unknown"
    ports.ledger.postpone_poll(submission.submission_key, until or ports.clock.now(), reason)


def _attach(ports: Ports, submission: Submission, receipt: Receipt, why: str) -> bool:
    key = submission.submission_key
    try:
        ports.ledger.attach(key, receipt, who="flow-pipelines", why=why)
    except LedgerError as error:
        # Settled meanwhile, or the run belongs to another submission: both are for people.
        ports.log(f"{key}: {error}")
        return False
    ports.log(f"{key}: is provider run {receipt.provider_run_id}, {why}")
    return True


def open_night(night: Night, work: Workplace, *, owner: str) -> None:
    """Take in what an older copy of the ledger lacks; park what a dead process was sending, and
    settle what is unresolved where that is possible.

    `owner` starts work and has sent nothing yet: a submission that is `submitting` under its lease
    belongs to a process that died. What cannot be settled now is logged and waits. Spends nothing.

    Raises: LedgerBehind, WrongLedger, before anything is settled or written; StorageError.
    """
    refuse_old_tables(night, work)
    parked = work.ledger.park_abandoned(night=night, owner=owner)
    if parked:
        work.log(
            f"{night}: {len(parked)} submission(s) were being sent when their process ended; "
            "perhaps bought, so they are not sent again until that is known"
        )
    waiting = [item for item in work.ledger.outstanding(night=night) if item.unresolved]
    for ports in each_account(work, waiting, work.log):
        try:
            left = recover(ports, night=night).waiting
        except FlowPipelinesError as error:
            work.log(f"{night}: not looked into: {error}")
            continue
        if left:
            work.log(f"{night}: {left} unresolved submission(s): see `flow-pipelines resolve`")
