"""FLORA's techniques, their inputs and their runs, in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import starmap
from typing import Any

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import (
    OutputRef,
    ParameterSpec,
    ParameterType,
    Receipt,
    RunReport,
    Workflow,
)
from flow_pipelines.model import SubmissionState as S
from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import RequestRejected
from flow_pipelines.model.output import with_names_apart
from flow_pipelines.provider import Candidate, SubmitRequest
from flow_pipelines.providers.flora.assets import OUTPUT_HOSTS
from flow_pipelines.providers.flora.calls import NAME
from flow_pipelines.providers.flora.records import Port, RunOutput, Technique, TechniqueRun

INPUT_TYPES: Mapping[str, ParameterType] = {
    "text": "text",
    "imageUrl": "image",
    "videoUrl": "video",
    "audioUrl": "audio",
    "documentUrl": "document",
}
"""As the SDK spells them; older pages have `image_url` and `IMAGE_URL` too."""


def input_type(spelling: str) -> str:
    """Return an input's type as FLORA takes it: `IMAGE_URL` and `image_url` are `imageUrl`."""
    plain = spelling.replace("_", "").lower()
    return next((known for known in INPUT_TYPES if known.lower() == plain), spelling)


def workflow_of(reference: str, technique: Technique) -> Workflow:
    """Freeze a technique that was asked for as `reference`."""
    price = technique.run_cost
    body = {"technique_id": technique.technique_id, "inputs": _ports(technique.inputs)}
    # The price is part of it: the ledger keeps it with the version, and budgets reserve by it.
    definition = {**body, "outputs": _ports(technique.outputs), "run_cost": str(price)}
    return Workflow(
        reference=reference,
        version=stable_hash(definition),
        body={**body, "slug": technique.slug or reference},
        parameters=tuple(_parameter(port) for port in technique.inputs),
        price_usd=price,
    )


def inputs_of(request: SubmitRequest) -> list[dict[str, str]]:
    """Fill in the technique's inputs, in its order; an optional one that is empty is left out.

    Raises: RequestRejected, for what FLORA would refuse; nothing was sent.
    """
    given, inputs = dict(request.parameters), []
    for port in request.workflow.body["inputs"]:
        value = given.pop(port["id"], None)
        if value is not None and not (port["optional"] and value == ""):
            kind = input_type(port["type"])
            inputs.append({"id": port["id"], "type": kind, "value": str(value)})
    if given or not inputs:
        # Nothing was sent, and nobody should have to find that out.
        problem = f"has no input {min(given)!r}" if given else "was given no input"
        problem = f"the technique {request.workflow.reference!r} {problem}"
        raise RequestRejected(problem, provider=NAME, operation="create_technique_run")
    return inputs


def _parameter(port: Port) -> ParameterSpec:
    # Of a type that nobody documents, FLORA can only be told a text.
    kind = INPUT_TYPES.get(input_type(port.type), "text")
    return ParameterSpec(
        name=port.id,
        type=kind,
        required=port.optional is not True,
        hosts=() if kind == "text" else OUTPUT_HOSTS,
    )


def _ports(ports: Sequence[Port]) -> list[Mapping[str, Any]]:
    return [{"id": port.id, "type": port.type, "optional": port.optional is True} for port in ports]


STATES: Mapping[str, S] = {
    "pending": S.QUEUED,
    "running": S.RUNNING,
    "completed": S.SUCCEEDED,
    "failed": S.FAILED,
}
_TYPES: Mapping[str, str] = {
    "imageUrl": "image/*",
    "videoUrl": "video/*",
    "audioUrl": "audio/*",
}


def receipt_of(run: TechniqueRun) -> Receipt:
    """Return a run as the proof that it was accepted."""
    report = report_of(run)
    return Receipt(
        provider_run_id=run.run_id,
        provider_status=report.provider_status or None,
        report=report,
        created_at=run.created_at,
    )


def candidate_of(run: TechniqueRun) -> Candidate:
    """Return a listed run as one that may be a submission's."""
    files = (file for file in run.outputs if input_type(file.type or "") != "text")
    return Candidate(
        provider_run_id=run.run_id,
        created_at=run.created_at,
        cost_usd=run.charged_cost,
        link=next((file.url for file in files if file.url), run.poll_url),
    )


def report_of(run: TechniqueRun) -> RunReport:
    """Return a run as a report; one that failed was answered with 200, too."""
    status = (run.status or "")[:100]
    state, code = STATES.get(status.lower()), read.code(run.error_code)
    failed = state is S.FAILED
    message = read.prose(run.error_message) or f"FLORA says: {status}"
    return RunReport(
        provider_run_id=run.run_id,
        state=state,
        provider_status=status,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.completed_at,
        run_ms=_run_ms(run),
        charged_usd=run.charged_cost,
        outputs=with_names_apart(starmap(_output, enumerate(run.outputs))),
        error_code=(code or "failed") if failed else None,
        error_message=message if failed else None,
        account_problem=code == "insufficient_credits",
        progress=None if run.progress is None else min(run.progress / 100, 1.0),
    )


def _run_ms(run: TechniqueRun) -> int | None:
    if run.started_at is None or run.completed_at is None:
        return None
    return max(run.completed_at - run.started_at, timedelta()) // timedelta(milliseconds=1)


def _output(index: int, output: RunOutput) -> OutputRef:
    name = (output.output_id or f"(no id) {index}")[:200]
    kind = input_type(output.type or "")
    if kind == "text":
        return OutputRef(output_id=name, node=name, kind="text", text=output.url or "")
    return OutputRef(output_id=name, node=name, media_type=_TYPES.get(kind), url=output.url)
