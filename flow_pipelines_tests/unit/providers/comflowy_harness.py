"""What tests of Comflowy share: recorded answers, an order, an adapter at a scripted server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flow_pipelines.model import Receipt, RunReport, SubmissionState, Workflow
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.providers.comflowy import ComflowyProvider
from flow_pipelines.providers.comflowy.calls import SIGN_IN
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, MemoryPaceStore, RetryBudget
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

SAMPLES = Path(__file__).parents[2] / "samples" / "comflowy"
RUN = "0b9d7a52-5a5e-4f2b-9c1b-3f1d6c1f7a10"
WORKFLOW = "3fef208b-7d25-4d9a-8ec9-c79eb2153234"
KEY, TOKEN = "cf_key_for_tests_0001", "cf_access_token_for_tests_0001"
S = SubmissionState


def body(case: str, **data: Any) -> dict[str, Any]:
    """A recorded body, with members of its `data` replaced."""
    document: dict[str, Any] = json.loads((SAMPLES / f"{case}.json").read_text())["body"]
    return {**document, "data": {**document["data"], **data}} if "data" in document else document


def sample(case: str, **data: Any) -> Step:
    recorded = json.loads((SAMPLES / f"{case}.json").read_text())
    return answer(recorded["status"], body(case, **data))


def adapter(wire: Wire) -> ComflowyProvider:
    clock = ManualClock()
    transport = HttpTransport(
        "comflowy",
        origins=[f"{wire.url}/v0"],
        secret=Secret(KEY),
        clock=clock,
        pace=MemoryPaceStore(clock),
        pace_key="comflowy",
        sign_in=SIGN_IN,
        retry=RetryBudget(attempts=2),
    )
    return ComflowyProvider(transport, f"{wire.url}/v0/")


def workflow(reference: str = WORKFLOW) -> Workflow:
    with Wire() as wire:
        found = adapter(wire).read_workflow(reference, lambda name: name.encode())
    assert wire.connections == 0
    return found


def order(**parameters: Any) -> SubmitRequest:
    return SubmitRequest(
        submission_key="0f" * 16,
        workflow=workflow(),
        parameters=parameters or {"6::text": "a dog", "57:8::seed": 2**64 - 1, "5::tall": True},
        label="posters/2026-11-21/cat #0 · 0f0f",
        idempotency_key="0f" * 16,
    )


def bought(step: Step, **parameters: Any) -> Receipt:
    """What a submission makes of an answer to `run`; nothing but token and run is asked for."""
    with Wire(sample("token"), step) as wire:
        try:
            return adapter(wire).submit(order(**parameters))
        finally:
            assert [seen.target for seen in wire.requests[1:]] == ["/v0/run"]


def polled(step: Step) -> RunReport:
    with Wire(sample("token"), step) as wire:
        return adapter(wire).poll(RUN, workflow())
