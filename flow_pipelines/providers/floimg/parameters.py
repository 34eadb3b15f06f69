"""What FloImg declares of a workflow's parameters, in our words: checked before it is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow_pipelines.model import ParameterSpec, ParameterType
from flow_pipelines.providers.floimg.records import WorkflowParameter

PARAMETER_TYPES: Mapping[str, ParameterType] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}
"""The documentation shows `string` and `number`; of any other type, values go as they come."""


def parameter_specs(declared: Sequence[WorkflowParameter]) -> tuple[ParameterSpec, ...]:
    """Return what rows are checked against: names, types, and what has to be given."""
    return tuple(_spec(one) for one in declared)


def _spec(declared: WorkflowParameter) -> ParameterSpec:
    return ParameterSpec(
        name=declared.name,
        type=PARAMETER_TYPES.get(declared.type or "", "any"),
        # FloImg has a value for what has a default, required or not.
        required=declared.required and declared.default is None,
        default=declared.default,
    )
