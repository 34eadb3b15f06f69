"""What tests of Floyo share: recorded answers, a graph, an adapter at a scripted server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from flow_pipelines.model import RunReport, SubmissionState, Workflow
from flow_pipelines.provider import RateLimit, SubmitRequest
from flow_pipelines.providers.floyo import FloyoProvider
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, MemoryPaceStore, RetryBudget
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

SAMPLES = Path(__file__).parents[2] / "samples" / "floyo"
RUN, FILE = "run_VtgQFqzFotMivZrp", "file_ns8KprTB8LjjATaa"
GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "positive": ["6", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "a"}},
}
S = SubmissionState


def sample(case: str, **changes: Any) -> Step:
    """A recorded answer, with members of its body replaced."""
    recorded = json.loads((SAMPLES / f"{case}.json").read_text())
    return answer(recorded["status"], {**recorded["body"], **changes})


def adapter(wire: Wire, rate: Decimal | None = None) -> FloyoProvider:
    clock = ManualClock()
    transport = HttpTransport(
        "floyo",
        origins=[f"{wire.url}/api", f"{wire.url}/cdn"],
        secret=Secret("flo_test_key_0001"),
        clock=clock,
        pace=MemoryPaceStore(clock),
        pace_key="floyo",
        rate_limit=RateLimit(requests=100, per_seconds=60),
        retry=RetryBudget(attempts=2),
    )
    base, cdn = f"{wire.url}/api", f"{wire.url}/cdn/"
    return FloyoProvider(transport, base, cdn, usd_per_flotime_hour=rate)


def workflow(graph: Mapping[str, Any] = GRAPH) -> Workflow:
    with Wire() as wire:
        content = json.dumps(graph).encode()
        return adapter(wire).read_workflow("poster.json", lambda _: content)


def order(**parameters: Any) -> SubmitRequest:
    return SubmitRequest(
        submission_key="0f" * 16,
        workflow=workflow(),
        parameters=parameters or {"6::text": "a dog", "3::seed": 2**64 - 1},
        label="posters/2026-11-21/cat #0 · 0f0f",
        idempotency_key="0f" * 16,
    )


def polled(case: str, **changes: Any) -> RunReport:
    with Wire(sample(case, **changes)) as wire:
        report = adapter(wire).poll(RUN, workflow())
    assert [seen.target for seen in wire.requests] == [f"/api/runs/{RUN}"]
    return report
