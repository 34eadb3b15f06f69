"""What tests of FloImg share: recorded answers, an order, an adapter at a scripted server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flow_pipelines.model import Receipt, RunReport, SubmissionState, Workflow
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.providers.floimg import FloImgProvider
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, MemoryPaceStore, RetryBudget
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

SAMPLES = Path(__file__).parents[2] / "samples" / "floimg"
EXECUTION, WORKFLOW = "exec_abc123", "wf_abc123"
URL = "https://storage.floimg.com/outputs/exec_abc123.png"
S = SubmissionState


def body(case: str, **changes: Any) -> dict[str, Any]:
    return {**json.loads((SAMPLES / f"{case}.json").read_text())["body"], **changes}


def sample(case: str, **changes: Any) -> Step:
    """A recorded answer, with members of its body replaced."""
    recorded = json.loads((SAMPLES / f"{case}.json").read_text())
    return answer(recorded["status"], body(case, **changes), **recorded.get("headers", {}))


def adapter(wire: Wire, clock: ManualClock | None = None) -> FloImgProvider:
    clock = clock or ManualClock()
    transport = HttpTransport(
        "floimg",
        origins=[f"{wire.url}/v1"],
        secret=Secret("fsk_test_key_0001"),
        clock=clock,
        pace=MemoryPaceStore(clock),
        pace_key="floimg",
        retry=RetryBudget(attempts=2),
    )
    return FloImgProvider(transport, f"{wire.url}/v1/")


def nothing(reference: str) -> bytes:
    raise AssertionError(f"{reference} is no file")


def workflow(*steps: Step) -> Workflow:
    with Wire(*(steps or (sample("workflow"), sample("workflows")))) as wire:
        return adapter(wire).read_workflow(WORKFLOW, nothing)


KEPT = Workflow(reference=WORKFLOW, version="1", body={"workflow_id": WORKFLOW})
ORDER = SubmitRequest(
    submission_key="0f" * 16,
    workflow=KEPT,
    parameters={"prompt": "a dog", "width": 2**53 + 1},
    label="posters/2026-11-21/cat #0 · 0f0f",
    idempotency_key="0f" * 16,
)


def bought(step: Step) -> Receipt:
    with Wire(step) as wire:
        receipt = adapter(wire).submit(ORDER)
    assert len(wire.requests) == 1
    return receipt


def polled(step: Step) -> RunReport:
    with Wire(step) as wire:
        report = adapter(wire).poll(EXECUTION, KEPT)
    assert [seen.target for seen in wire.requests] == [f"/v1/workflows/executions/{EXECUTION}"]
    return report
