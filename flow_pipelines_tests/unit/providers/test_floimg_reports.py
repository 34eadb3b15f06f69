"""What FloImg tells of an execution, in our words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.model import OutputRef, RunReport, SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    NotFound,
    OutputRefused,
    RequestRejected,
    UnexpectedAnswer,
)
from flow_pipelines.provider import Purpose
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.providers.floimg_harness import (
    EXECUTION,
    KEPT,
    URL,
    S,
    adapter,
    body,
    polled,
    sample,
)
from flow_pipelines_tests.unit.transport.wire import Wire, answer


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ("execution_pending", S.QUEUED),
        ("execution_running", S.RUNNING),
        ("execution_completed", S.SUCCEEDED),
        ("execution_failed", S.FAILED),
    ],
)
def test_every_status_has_its_state(case: str, state: SubmissionState) -> None:
    assert polled(sample(case)).state is state


@pytest.mark.parametrize("word", ["cancelled", "hibernating", "x" * 500])
def test_an_unknown_status_has_no_state_and_no_output(word: str) -> None:
    report = polled(sample("execution_completed", status=word))
    assert (report.state, report.provider_status, report.outputs) == (None, word[:100], ())


def test_a_completed_execution_gives_one_output_and_its_times() -> None:
    report = polled(sample("execution_completed"))
    assert report.outputs == (OutputRef(output_id="output", url=URL),)
    assert report.started_at == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
    assert report.finished_at == datetime(2026, 1, 15, 10, 30, 2, tzinfo=UTC)
    assert report.run_ms == 2000


def test_the_output_keeps_its_name_while_its_link_changes_and_the_link_is_never_shown() -> None:
    first = polled(sample("execution_completed"))
    second = polled(sample("execution_completed", output={"url": f"{URL}?signature=abc"}))
    assert [ref.output_id for ref in first.outputs] == [ref.output_id for ref in second.outputs]
    assert "storage.floimg.com" not in repr((first, second))


@pytest.mark.parametrize("output", [None, [], {}, {"url": None}, {"url": 3}, "?"])
def test_a_completed_execution_without_a_link_has_an_output_that_is_missed(output: object) -> None:
    report = polled(sample("execution_completed", output=output))
    assert report.state is S.SUCCEEDED
    (ref,) = report.outputs
    assert ref == OutputRef(output_id="output")
    with Wire() as wire, pytest.raises(OutputRefused, match="no link"):
        adapter(wire).fetch(ref, max_bytes=10)
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("told", "media_type"),
    [("png", "image/png"), ("JPG", "image/jpeg"), ("webp", "image/webp"), (3, None), ("", None)],
)
def test_the_format_gives_the_media_type(told: object, media_type: str | None) -> None:
    report = polled(sample("execution_completed", output={"url": URL, "format": told}))
    assert report.outputs[0].media_type == media_type


@pytest.mark.parametrize(
    "changes",
    [
        {"completedAt": "soon"},
        {"startedAt": None},
        {"completedAt": "2026-01-15T10:30:02"},
        {"completedAt": "2026-01-15T10:29:00Z"},
    ],
    ids=str,
)
def test_times_that_make_no_sense_give_no_duration(changes: dict[str, Any]) -> None:
    assert polled(sample("execution_completed", **changes)).run_ms is None


@pytest.mark.parametrize("duration", [-1, "2340", True, 2**63])
def test_a_duration_that_is_no_count_is_not_taken(duration: object) -> None:
    assert polled(sample("execution_completed", duration=duration)).run_ms == 2000


def test_a_failure_told_as_an_error_is_the_same_as_one_told_as_a_status() -> None:
    by_error, by_status = polled(sample("workflow_failed")), polled(sample("execution_failed"))
    assert by_error.state is by_status.state is S.FAILED
    assert by_error.error_code == by_status.error_code == "workflow_failed"
    assert by_error.error_message == "Workflow execution failed"
    assert by_status.error_message == "FloImg says: failed"
    assert by_error.outputs == by_status.outputs == ()
    assert not by_error.account_problem


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": "oom", "message": "no GPU"}, "oom", "no GPU"),
        ("no GPU", "workflow_failed", "no GPU"),
        (["no GPU"], "workflow_failed", "no GPU"),
        ({"code": "out of memory!", "message": None}, "workflow_failed", None),
        (None, "workflow_failed", "FloImg says: failed"),
    ],
)
def test_an_undocumented_error_of_a_failed_execution_is_told(
    error: object, code: str, message: str | None
) -> None:
    report = polled(sample("execution_failed", error=error))
    assert report.error_code == code
    assert report.error_message == (message or json.dumps(error))


@pytest.mark.parametrize("case", ["invalid_request", "forbidden", "not_found"])
def test_any_other_error_of_a_poll_says_nothing_about_the_execution(case: str) -> None:
    errors = {"invalid_request": RequestRejected, "forbidden": AccountRejected}
    with pytest.raises(errors.get(case, NotFound)) as caught:
        polled(sample(case))
    assert caught.value.provider_run_id == EXECUTION


@pytest.mark.parametrize("changes", [{"executionId": "exec_other"}, {"status": 3}], ids=str)
def test_an_answer_that_is_not_this_execution_is_unexpected(changes: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswer):
        polled(sample("execution_completed", **changes))


def test_an_output_is_fetched_by_its_link_without_the_key() -> None:
    with Wire(answer(200, b"\x89PNG", content_type="image/png")) as wire:
        ref = OutputRef(output_id="output", url=f"{wire.url}/outputs/1.png?signature=a%2Fb")
        with adapter(wire).fetch(ref, max_bytes=100) as download:
            assert download.read() == b"\x89PNG"
    (seen,) = wire.requests
    assert seen.target == "/outputs/1.png?signature=a%2Fb"
    assert "authorization" not in seen.headers


def test_a_window_that_is_used_up_is_waited_for() -> None:
    clock = ManualClock()
    resets_at = str(int(clock.now().timestamp()) + 42)
    used_up = answer(
        200,
        body("execution_pending"),
        X_RateLimit_Remaining="0",
        X_RateLimit_Reset=resets_at,
    )
    with Wire(used_up) as wire:
        floimg = adapter(wire, clock)
        floimg.poll(EXECUTION, KEPT)
        assert clock.slept[-1] == 0
        floimg.take_turn(Purpose.SUBMIT)
    assert clock.monotonic() == 42


@pytest.mark.parametrize(
    ("state", "price", "cost"),
    [
        (S.SUCCEEDED, Decimal("0.02"), (Decimal("0.020000"), "estimated")),
        (S.SUCCEEDED, None, (None, "unknown")),
        (S.FAILED, Decimal("0.02"), (None, "unknown")),
    ],
)
def test_only_what_completed_costs_the_batch_s_figure(
    state: SubmissionState, price: Decimal | None, cost: tuple[Decimal | None, str]
) -> None:
    report = RunReport(provider_run_id=EXECUTION, state=state, provider_status="x")
    with Wire() as wire:
        floimg = adapter(wire)
    assert floimg.cost(report, price) == cost
    assert floimg.estimate_usd(KEPT, price) == price
