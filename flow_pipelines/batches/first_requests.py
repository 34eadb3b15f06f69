"""The first requests of a night as they will be sent, with what changed against the workflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flow_pipelines.batches.cells import shown
from flow_pipelines.batches.graphs import node_of
from flow_pipelines.model import PlannedRow, Submission, Workflow

FIRST = 3
_NOT_SET = object()


@dataclass(frozen=True, kw_only=True)
class SentInput:
    """One parameter of one request; values short, as people are shown them."""

    prompt_id: str
    copy: int
    parameter: str
    node: str
    """Of a graph, with its class; empty: there is none."""
    sent: str
    instead_of: str
    """The workflow's own value; empty: it has none, or the same."""


def first_inputs(
    workflow: Workflow, rows: Sequence[PlannedRow | Submission]
) -> Iterator[SentInput]:
    """Yield every parameter of the first requests, in order."""
    own = {spec.name: spec.default for spec in workflow.parameters}
    graph = workflow.body.get("graph") or {}
    for row in rows[:FIRST]:
        for name, value in row.parameters.items():
            before = own.get(name, _NOT_SET)
            yield SentInput(
                prompt_id=row.prompt_id,
                copy=row.copy,
                parameter=name,
                node=node_of(graph, name) or "",
                sent=shown(value),
                instead_of="" if before in (_NOT_SET, None, value) else shown(before),
            )
