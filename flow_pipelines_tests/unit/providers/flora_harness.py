"""Recorded answers of FLORA, and an adapter that is given them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flow_pipelines.model import RunReport, Workflow
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.providers.flora import FloraProvider
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, MemoryPaceStore, RetryBudget
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

SAMPLES = Path(__file__).parents[2] / "samples" / "flora"
RUN, KEY = "run_abc123", "0f" * 16


def recorded(case: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{case}.json").read_text())
    return found


def sample(case: str, **changes: Any) -> Step:
    """A recorded answer, with members of its body replaced."""
    found = recorded(case)
    headers = {name.replace("-", "_"): value for name, value in found.get("headers", {}).items()}
    return answer(found["status"], {**found["body"], **changes}, **headers)


def adapter(wire: Wire, workspace_id: str | None = "ws_1", attempts: int = 1) -> FloraProvider:
    clock = ManualClock()
    transport = HttpTransport(
        "flora",
        origins=[f"{wire.url}/api"],
        secret=Secret("sk_live_test_key_0001"),
        clock=clock,
        pace=MemoryPaceStore(clock),
        pace_key="flora",
        retry=RetryBudget(attempts=attempts),
    )
    return FloraProvider(transport, f"{wire.url}/api/", workspace_id=workspace_id)


def workflow(reference: str = "city-poster", **changes: Any) -> Workflow:
    with Wire(sample("technique", **changes)) as wire:
        return adapter(wire).read_workflow(reference, lambda _: b"")


def order(frozen: Workflow | None = None, **parameters: Any) -> SubmitRequest:
    return SubmitRequest(
        submission_key=KEY,
        workflow=frozen or workflow(),
        parameters=parameters or {"prompt": "a dog"},
        label="posters/2026-11-21/cat #0 · 0f0f",
        idempotency_key=KEY,
    )


def polled(case: str, **changes: Any) -> RunReport:
    with Wire(sample(case, **changes)) as wire:
        report = adapter(wire).poll(RUN, workflow())
    assert [seen.target for seen in wire.requests] == [f"/api/techniques/city-poster/runs/{RUN}"]
    return report
