"""The one paid request that is sent a second time: where its key makes the copy a replay.

What the answer to the copy proves:

| answer | proves | then |
|---|---|---|
| a receipt | this run is the submission's | attached |
| the key is known | there is a run | kept, no copy any more; a person chooses among candidates |
| anything else | nothing about the first one | stays unresolved; a copy later, within the window |

Never before the first request has surely ended, and never so late that the provider may have
forgotten the key: FLORA keeps it for two hours at least, and runs two requests that arrive at the
same time both. So every copy has a lease of its own, which outlives its request, and the next one
is put off before it is sent: a process that dies with it leaves nothing to do at once.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from flow_pipelines.lifecycle.poll_intervals import age_seconds
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.lifecycle.requests import body_sha256_of
from flow_pipelines.model import Receipt, Submission, SubmissionState
from flow_pipelines.model.errors import ProviderUnavailable
from flow_pipelines.provider import Purpose, SubmitRequest

EARLIEST = timedelta(minutes=2)
LATEST = timedelta(minutes=90)
"""Both since the intent; a request takes a minute and ten seconds at the most."""
CLAIM_SECONDS = 180.0
"""How long nobody else sends a copy; more than a request may take. Never given back early: what
we gave up waiting for may still be on its way."""
_AGAIN = "; sent again under its key at "


def is_due(submission: Submission, now: datetime) -> bool:
    """Return whether it is time to look into an unresolved submission."""
    return submission.next_poll_at is None or submission.next_poll_at <= now


def may_replay(ports: Ports, submission: Submission) -> bool:
    """Return whether a copy of this submission's request is harmless now, and wanted."""
    sent_at = submission.submitting_at
    if sent_at is None or ports.clock.now() - sent_at < EARLIEST:
        return False
    return ports.ledger.paused() is None and replay_is_open(ports, submission)


def replay_is_open(ports: Ports, submission: Submission) -> bool:
    """Return whether a copy of this submission's request may be sent, now or later.

    Not after a person said that it was never created, nor once its key was refused as known: its
    first intent, from which the provider counts, may be an older one then.
    """
    sent_at = submission.submitting_at
    if not ports.provider.capabilities.replays or sent_at is None:
        return False
    return (
        submission.state is SubmissionState.UNRESOLVED
        and ports.clock.now() - sent_at <= LATEST
        and not ports.ledger.settlements(submission.submission_key)
    )


def replay(ports: Ports, submission: Submission, request: SubmitRequest) -> Receipt | None:
    """Send a copy of an unresolved submission's request; None: it is not our turn to.

    `request` must be the one that was sent first, to the byte: what is not, by the hash that was
    kept with the intent, is left to a person. Raises: ProviderError, as `Provider.submit` does;
    what it proves is in the module's table.
    """
    if submission.body_sha256 not in (None, body_sha256_of(ports, request)):
        until = ports.clock.now() + LATEST
        why = "it cannot be sent again under its key: its request would not be the same any more"
        ports.ledger.postpone_poll(submission.submission_key, until, why)
        return None
    try:
        ports.provider.take_turn(Purpose.SUBMIT)
    except ProviderUnavailable as error:
        ports.log(f"{submission.submission_key}: no turn to send it again: {error}")
        return None
    if not _claim(ports, submission.submission_key):
        return None
    ports.log(f"{submission.submission_key}: sent again under its key, to learn what became of it")
    return ports.provider.submit(request)


def _claim(ports: Ports, key: str) -> bool:
    """Be the only one who sends a copy now, and put the next one off."""
    if not ports.ledger.acquire_lease(f"replay:{key}", uuid.uuid4().hex, CLAIM_SECONDS):
        return False
    # Waiting for turn and lease took time: somebody else may have settled or sent it since.
    submission, now = ports.ledger.submission(key), ports.clock.now()
    if not is_due(submission, now) or not may_replay(ports, submission):
        return False
    wait = max(age_seconds(submission, now), CLAIM_SECONDS)
    reason = (submission.reason or "its outcome is unknown").partition(_AGAIN)[0]
    ports.ledger.postpone_poll(
        key, now + timedelta(seconds=wait), f"{reason}{_AGAIN}{now:%H:%M:%S}Z"
    )
    return True
