"""Find provider runs that belong, or may belong, to a submission without a receipt.

A run that bears the submission's name is its own. That a run fits by time and workflow proves
nothing: a colleague, a second ledger or a click may have made it. So candidates are told to people,
and no candidate is ever attached by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.lifecycle.replay import LATEST
from flow_pipelines.lifecycle.requests import label_of
from flow_pipelines.model import Receipt, RunReport, Submission
from flow_pipelines.model.errors import ConfigurationError, NotFound, ProviderError
from flow_pipelines.provider import Candidate, ListsCandidates, Provider, SubmitRequest

SKEW = timedelta(minutes=5)
"""How far a provider's clock may be from ours, and how long a request may be on its way."""
_LONGEST_LABEL = 200
_NAMED = 3
"""Runs that a row's reason names; `flow-pipelines resolve KEY` lists all."""


def sent_since(submission: Submission) -> datetime:
    """Return since when a run of this submission may exist, by our clock.

    With several intents it may be the first one's, whose time is not kept: `planned_at` then.
    """
    sent_at = submission.submitting_at
    return submission.planned_at if sent_at is None or submission.intents > 1 else sent_at


def proven(ports: Ports, submission: Submission, request: SubmitRequest) -> Sequence[Receipt]:
    """Return runs that bear this submission's name, but for those that a person detached.

    Raises: ProviderError.
    """
    if not ports.provider.capabilities.find:
        return ()
    receipts = ports.provider.find(request, sent_since(submission) - timedelta(hours=1))
    if not receipts:
        return ()
    settled = ports.ledger.settlements(submission.submission_key)
    detached = {one.provider_run_id for one in settled if one.action == "detach"}
    return [receipt for receipt in receipts if receipt.provider_run_id not in detached]


def candidates(ports: Ports, submission: Submission, request: SubmitRequest) -> Sequence[Candidate]:
    """Return runs that may be this submission's and that no submission of this ledger has.

    Raises: ProviderError.
    """
    provider = ports.provider
    if not isinstance(provider, ListsCandidates):
        return ()
    last = submission.submitting_at or submission.planned_at
    until = last + SKEW + (LATEST if provider.capabilities.replays else timedelta())
    runs = provider.candidates(request, sent_since(submission) - SKEW, until)
    known = ports.ledger.known_runs(provider.name, [run.provider_run_id for run in runs])
    return [run for run in runs if run.provider_run_id not in known]


def in_words(run_ids: Sequence[str], how: str = "may be its") -> str:
    """Return how many runs there are to choose from and the first of them; empty for none."""
    if not run_ids:
        return ""
    named = ", ".join(run_ids[:_NAMED])
    such = named if len(run_ids) <= _NAMED else f"such as {named}"
    runs = "provider run" if len(run_ids) == 1 else "provider runs"
    return f"{len(run_ids)} {runs} {how} ({such}); a person has to choose"


def checked_receipt(
    ledger: RunLedger, provider: Provider, submission: Submission, provider_run_id: str
) -> Receipt:
    """Poll a run that is to be attached, once, and return what it is attached by.

    Raises: ConfigurationError, where the provider knows no such run, calls it something else than
    the submission was sent as, or created it before that, or cannot be asked.
    """
    workflow = ledger.workflow(submission.workflow_version)
    try:
        report = provider.poll(provider_run_id, workflow)
    except NotFound as error:
        raise ConfigurationError(
            f"{provider.name} knows no run {provider_run_id} of {workflow.reference} on this "
            "account; nothing was changed"
        ) from error
    except ProviderError as error:
        raise ConfigurationError(
            f"{provider.name} could not be asked for {provider_run_id}: {error}. Try again later; "
            "--unchecked attaches it on your word alone"
        ) from error
    if not ledger.known_runs(provider.name, [provider_run_id]):  # else the ledger names its owner
        _refuse_other_name(provider.name, submission, report)
    created_at = report.created_at or report.started_at
    since = sent_since(submission)
    if created_at is not None and created_at < since - SKEW:
        raise ConfigurationError(
            f"{provider.name} created {provider_run_id} at {created_at:%Y-%m-%d %H:%M:%S} UTC, "
            f"before {submission.submission_key} was sent ({since:%Y-%m-%d %H:%M:%S} UTC): it is "
            "somebody else's"
        )
    return Receipt(
        provider_run_id=provider_run_id,
        provider_status=report.provider_status,
        created_at=created_at,
    )


def _refuse_other_name(provider: str, submission: Submission, report: RunReport) -> None:
    label = label_of(submission, submission.intent_ledger_id)
    if report.label is not None and report.label != label:
        raise ConfigurationError(
            f"{provider} calls {report.provider_run_id} {report.label[:_LONGEST_LABEL]!r}, and "
            f"this submission was sent as {label!r}: it is somebody else's. --unchecked attaches "
            "it on your word alone"
        )
