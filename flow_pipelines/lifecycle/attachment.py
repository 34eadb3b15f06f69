"""What is found out about a provider run before a person's word gives it to a submission."""

from __future__ import annotations

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.candidates import SKEW, sent_since
from flow_pipelines.model import Receipt, Submission
from flow_pipelines.model.errors import ConfigurationError, NotFound, ProviderError
from flow_pipelines.provider import Provider


def checked_receipt(
    ledger: RunLedger, provider: Provider, submission: Submission, provider_run_id: str
) -> Receipt:
    """Poll a run that is to be attached, once, and return what it is attached by.

    Raises: ConfigurationError, where the provider knows no such run, or created it before the
    submission was sent, or cannot be asked.
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
    created_at = report.created_at or report.started_at
    since = sent_since(submission)
    if created_at is not None and created_at < since - SKEW:
        raise ConfigurationError(
            f"{provider.name} created {provider_run_id} at {created_at:%Y-%m-%d %H:%M:%S} UTC, "
            f"before {submission.submission_key} was sent ({since:%Y-%m-%d %H:%M:%S} UTC): it is "
            "somebody else's"
        )
    return Receipt(provider_run_id=provider_run_id, provider_status=report.provider_status)
