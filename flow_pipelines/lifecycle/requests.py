"""Build the POST of a submission, with its label and idempotency key, the same every time.

Two ledgers with one batch name make the same submission keys. So a label, a callback address and
an idempotency key carry the id of the ledger that wrote the intent beside the key: what bears them
is this submission's and no other ledger's. Intents of a version that did not do so keep the key
alone, so that their copies are the same to the byte and their labels are found.
"""

from __future__ import annotations

import contextlib
import hashlib

from flow_pipelines.lifecycle.callback_addresses import name_of
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import Night, Submission, SubmissionState
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError, RequestRejected
from flow_pipelines.provider import ApiRequest, Resend, SubmitRequest


def submit_request(ports: Ports, submission: Submission) -> SubmitRequest:
    """Build the one request of a submission from what the ledger froze: the same every time."""
    ledger_id = _named_by(ports, submission)
    return SubmitRequest(
        submission_key=submission.submission_key,
        workflow=ports.workflow(submission.workflow_version),
        parameters=submission.parameters,
        label=label_of(submission, ledger_id),
        idempotency_key=name_of(submission.submission_key, ledger_id),
        callback_url=ports.callback_url(submission.submission_key, ledger_id),
    )


def label_of(submission: Submission, ledger_id: str | None) -> str:
    """Return what the run of an intent that this ledger wrote is called at the provider."""
    name = name_of(submission.submission_key, ledger_id)
    row = f"{submission.prompt_id} #{submission.copy}.{submission.generation}"
    return f"{submission.night} {row} {name}"


def _named_by(ports: Ports, submission: Submission) -> str | None:
    """Return the ledger in a submission's names: of its next intent, or of its last one."""
    if submission.state is SubmissionState.PLANNED:
        return ports.ledger.ledger_id
    return submission.intent_ledger_id


def body_sha256_of(ports: Ports, request: SubmitRequest) -> str:
    """Return the SHA-256 of the body that `request` is sent with.

    Raises: ProviderError, for what is wrong with it: before an intent is written.
    """
    call = prepared(ports, request)
    try:
        return hashlib.sha256(call.body()).hexdigest()
    except (ValueError, TypeError, RecursionError) as error:
        why = f"its body cannot be written as JSON: {error}"
        raise RequestRejected(why, provider=ports.provider.name, operation=call.operation) from None


def prepared(ports: Ports, request: SubmitRequest) -> ApiRequest:
    """Return the call of a request. Raises: RequestRejected; ConfigurationError for all else."""
    try:
        call = ports.provider.prepare(request)
    except FlowPipelinesError:
        raise
    except Exception as error:  # whatever it is, it must not come up after the intent
        raise ConfigurationError(
            f"submission {request.submission_key} cannot be made a request to "
            f"{ports.provider.name}: {type(error).__name__}: {error}. Was its workflow, "
            f"{request.workflow.reference!r}, kept for another provider?"
        ) from error
    if call.resend is Resend.SAFE:
        raise ConfigurationError(
            f"the adapter of {ports.provider.name} declares {call.operation} as safe to repeat: "
            "what is billed never is. Nothing was sent"
        )
    return call


def refuse_unsendable(night: Night, ports: Ports) -> None:
    """Find out, before anything is sent, whether what is planned can be sent with this account.

    Raises: ConfigurationError, saying which rows were planned for what, and what to do.
    """
    for planned in ports.ledger.planned_for(night):
        if planned.provider != ports.provider.name:
            raise ConfigurationError(
                f"{night}: {planned.rows} row(s) are planned for {planned.provider} "
                f"({planned.workflow}), and its account {ports.resource!r} is "
                f"{ports.provider.name}'s. Nothing was sent. Name provider: {planned.provider} "
                "again until they are bought; or give them up with `flow-pipelines cancel --batch "
                f"{night.batch} --partition {night.partition_key}`, and buy them at "
                f"{ports.provider.name} with regenerate: failed"
            )
        example = ports.ledger.submission(planned.example)
        with contextlib.suppress(RequestRejected):  # that row alone is at fault
            prepared(ports, submit_request(ports, example))
