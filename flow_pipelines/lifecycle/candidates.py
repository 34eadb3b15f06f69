"""Runs that are, or may be, a submission's whose receipt is missing.

A run that bears the submission's name is its own. That a run fits by time and workflow proves
nothing: a colleague, a second ledger or a click may have made it. So candidates are told to people,
and no candidate is ever attached by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.lifecycle.replay import LATEST
from flow_pipelines.model import Receipt, Submission
from flow_pipelines.provider import Candidate, ListsCandidates, SubmitRequest

SKEW = timedelta(minutes=5)
"""How far a provider's clock may be from ours, and how long a request may be on its way."""
_NAMED = 3
"""Runs that a row's reason names; `flow-pipelines resolve KEY` lists all."""


def sent_since(submission: Submission) -> datetime:
    """Return since when a run of this submission may exist, by our clock.

    With several intents it may be the first one's, of which only the planning came before.
    """
    sent_at = submission.submitting_at
    return submission.planned_at if sent_at is None or submission.intents > 1 else sent_at


def proven(ports: Ports, submission: Submission, request: SubmitRequest) -> Sequence[Receipt]:
    """Return runs that bear this submission's name, but for those that a person detached.

    Raises: ProviderError.
    """
    if not ports.provider.capabilities.find:
        return ()
    found = ports.provider.find(request, sent_since(submission) - timedelta(hours=1))
    if not found:
        return ()
    settled = ports.ledger.settlements(submission.submission_key)
    detached = {one.provider_run_id for one in settled if one.action == "detach"}
    return [receipt for receipt in found if receipt.provider_run_id not in detached]


def candidates(ports: Ports, submission: Submission, request: SubmitRequest) -> Sequence[Candidate]:
    """Return runs that may be this submission's and that no submission of this ledger has.

    Raises: ProviderError.
    """
    provider = ports.provider
    if not isinstance(provider, ListsCandidates):
        return ()
    last = submission.submitting_at or submission.planned_at
    until = last + SKEW + (LATEST if provider.capabilities.replays else timedelta())
    found = provider.candidates(request, sent_since(submission) - SKEW, until)
    known = ports.ledger.known_runs(provider.name, [one.provider_run_id for one in found])
    return [one for one in found if one.provider_run_id not in known]


def in_words(run_ids: Sequence[str], how: str = "may be its") -> str:
    """Return how many runs there are to choose from and the first of them; empty for none."""
    if not run_ids:
        return ""
    named = ", ".join(run_ids[:_NAMED])
    such = named if len(run_ids) <= _NAMED else f"such as {named}"
    runs = "provider run" if len(run_ids) == 1 else "provider runs"
    return f"{len(run_ids)} {runs} {how} ({such}); a person has to choose"
