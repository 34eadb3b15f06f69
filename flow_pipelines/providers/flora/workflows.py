"""FLORA's techniques as workflows, and a submission's parameters as their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import ParameterSpec, ParameterType, Workflow
from flow_pipelines.model.errors import RequestRejected
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.providers.flora.calls import NAME
from flow_pipelines.providers.flora.media import OUTPUT_HOSTS
from flow_pipelines.providers.flora.records import Port, Technique

INPUT_TYPES: Mapping[str, ParameterType] = {
    "text": "text",
    "imageUrl": "image",
    "videoUrl": "video",
    "audioUrl": "audio",
    "documentUrl": "document",
}
"""As the SDK spells them; older pages have `image_url` and `IMAGE_URL` too."""


def input_type(found: str) -> str:
    """Return an input's type as FLORA takes it: `IMAGE_URL` and `image_url` are `imageUrl`."""
    plain = found.replace("_", "").lower()
    return next((known for known in INPUT_TYPES if known.lower() == plain), found)


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
    for one in request.workflow.body["inputs"]:
        value = given.pop(one["id"], None)
        if value is not None and not (one["optional"] and value == ""):
            kind = input_type(one["type"])
            inputs.append({"id": one["id"], "type": kind, "value": str(value)})
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
