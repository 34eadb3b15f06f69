"""What Lumen's recorded answers are read as."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.model import RunReport, SubmissionState, Workflow
from flow_pipelines.model.errors import RateLimited, UnexpectedAnswer
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, MemoryPaceStore, RetryBudget
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.fifth_provider.lumen import LumenProvider
from flow_pipelines_tests.unit.transport.wire import Wire, answer

KEPT = Workflow(reference="lantern", version="1", body={"preset": "lantern"})


def sample(case: str) -> dict[str, Any]:
    return dict(json.loads((SAMPLES / "lumen" / f"{case}.json").read_text()))


def adapter(wire: Wire) -> LumenProvider:
    clock = ManualClock()
    transport = HttpTransport(
        "lumen",
        origins=[wire.url],
        secret=Secret("lumen_test_key_0001"),
        clock=clock,
        pace=MemoryPaceStore(clock),
        pace_key="lumen",
        retry=RetryBudget(attempts=1),
    )
    return LumenProvider(transport, wire.url, wire.url)


def polled(case: str, **changes: Any) -> RunReport:
    recorded = sample(case)
    job = {**recorded["body"]["job"], **changes}
    with Wire(answer(recorded["status"], {"job": job})) as wire:
        return adapter(wire).poll("job_abc123", KEPT)


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ("job_waiting", SubmissionState.QUEUED),
        ("job_working", SubmissionState.RUNNING),
        ("job_done", SubmissionState.SUCCEEDED),
        ("job_broken", SubmissionState.FAILED),
        ("job_stopped", SubmissionState.CANCELED),
    ],
)
def test_every_documented_phase_has_its_state(case: str, state: SubmissionState) -> None:
    assert polled(case).state is state


def test_a_finished_job_is_read_to_the_last_cent_and_byte() -> None:
    report = polled("job_done")
    assert report.charged_usd == Decimal("0.012500")
    assert [(one.output_id, one.size_bytes) for one in report.outputs] == [
        ("pic_1", 2048),
        ("pic_2", 4096),
    ]
    assert report.started_at is not None
    assert report.finished_at is not None
    assert (report.finished_at - report.started_at).seconds == 9


def test_a_broken_job_says_why() -> None:
    report = polled("job_broken")
    assert (report.error_code, report.error_message) == ("out_of_light", "the lamp went out")


def test_an_answer_about_another_job_is_not_believed() -> None:
    with pytest.raises(UnexpectedAnswer):
        polled("job_done", id="job_of_somebody_else")


def test_a_preset_tells_its_parameters_and_its_price() -> None:
    with Wire(answer(200, sample("preset")["body"])) as wire:
        workflow = adapter(wire).read_workflow("lantern", lambda name: name.encode())
    assert [(one.name, one.type, one.required) for one in workflow.parameters] == [
        ("words", "text", True),
        ("number", "integer", False),
        ("base", "image", False),
    ]
    assert workflow.price_usd == Decimal("0.012500")


def test_how_long_to_wait_is_read_from_the_body() -> None:
    recorded = sample("too_many")
    with (
        Wire(answer(recorded["status"], recorded["body"])) as wire,
        pytest.raises(RateLimited) as caught,
    ):
        adapter(wire).poll("job_abc123", KEPT)
    assert caught.value.retry_after_seconds == 17.0
