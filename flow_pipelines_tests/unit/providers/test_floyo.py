"""Floyo's answers, as documented and as they may be bent, in our words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flow_pipelines.model import OutputRef, RunReport, SubmissionState, Workflow
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    NotFound,
    OutputRefused,
    ProviderUnavailable,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.provider import Lane, RateLimit, SubmitRequest
from flow_pipelines.providers.floyo import STATES, FloyoProvider
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
    )


def polled(case: str, **changes: Any) -> RunReport:
    with Wire(sample(case, **changes)) as wire:
        report = adapter(wire).poll(RUN, workflow())
    assert [seen.target for seen in wire.requests] == [f"/api/runs/{RUN}"]
    return report


def test_a_workflow_file_becomes_a_frozen_graph_with_its_parameters() -> None:
    found = workflow()
    assert found.reference == "poster.json"
    assert found.closed
    assert {spec.name: spec.default for spec in found.parameters} == {
        "3::seed": 5,
        "3::steps": 20,
        "6::text": "a cat",
        "9::filename_prefix": "a",
    }
    assert Workflow.from_json(found.to_json()) == found


def test_submit_sends_the_graph_with_values_set_under_a_name_that_can_be_found() -> None:
    with Wire(sample("create_run")) as wire:
        receipt = adapter(wire).submit(order())
    assert receipt.provider_run_id == RUN
    (seen,) = wire.requests
    assert (seen.method, seen.target) == ("POST", "/api/runs")
    assert seen.headers["authorization"] == "Bearer flo_test_key_0001"
    assert seen.headers["content-type"] == "application/json"
    body = seen.json()
    assert set(body) == {"workflow", "name"}
    assert body["name"] == "posters/2026-11-21/cat #0 · 0f0f"
    assert body["workflow"]["6"]["inputs"] == {"text": "a dog", "clip": ["4", 1]}
    assert body["workflow"]["3"]["inputs"]["seed"] == 2**64 - 1


def test_the_same_submission_is_the_same_bytes() -> None:
    with Wire(sample("create_run")) as wire:
        for _ in range(2):
            adapter(wire).submit(order())
    assert wire.requests[0].body == wire.requests[1].body


def test_the_500_that_floyo_gives_for_an_empty_wallet_proves_nothing() -> None:
    with (
        Wire(sample("create_run_failed")) as wire,
        pytest.raises(SubmitOutcomeUnknown, match="Failed to create run"),
    ):
        adapter(wire).submit(order())
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "changes", [{"id": None}, {"id": 7}, {"id": "../files"}, {"id": "run_a/b"}, {"id": ""}]
)
def test_a_receipt_without_a_usable_id_is_unknown(changes: dict[str, Any]) -> None:
    with Wire(sample("create_run", **changes)) as wire, pytest.raises(SubmitOutcomeUnknown):
        adapter(wire).submit(order())


@pytest.mark.parametrize("code", ["insufficient_balance", "insufficient_api_credits"])
@pytest.mark.parametrize("status", [400, 402, 500])
def test_an_account_without_means_is_told_by_its_code_under_any_status(
    code: str, status: int
) -> None:
    with (
        Wire(answer(status, {"error": code})) as wire,
        pytest.raises(AccountRejected) as caught,
    ):
        adapter(wire).submit(order())
    assert caught.value.code == code


def test_a_bad_key_is_the_accounts_fault() -> None:
    with (
        Wire(sample("unauthorized")) as wire,
        pytest.raises(AccountRejected, match="invalid api key"),
    ):
        adapter(wire).submit(order())


def test_a_parameter_that_the_graph_does_not_have_is_rejected_before_anything_is_sent() -> None:
    with Wire() as wire, pytest.raises(RequestRejected):
        adapter(wire).submit(order(**{"99::text": "x"}))
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ("run_queued", S.QUEUED),
        ("run_processing", S.RUNNING),
        ("run_done", S.SUCCEEDED),
        ("run_complete", S.SUCCEEDED),
        ("run_failed", S.FAILED),
        ("run_cancelled", S.CANCELED),
        ("run_insufficient_balance", S.FAILED),
        ("run_insufficient_api_credits", S.FAILED),
        ("run_unheard_of", None),
    ],
)
def test_every_status_has_its_state_and_an_unknown_one_has_none(
    case: str, state: SubmissionState | None
) -> None:
    report = polled(case)
    assert report.state is state
    assert report.account_problem is case.startswith("run_insufficient")


@pytest.mark.parametrize("word", [*STATES, "DONE", "Failed"])
def test_words_are_understood_in_any_case(word: str) -> None:
    assert polled("run_done", status=word).state is STATES[word.lower()]


def test_a_finished_run_gives_its_outputs_in_order_and_its_flotime() -> None:
    report = polled("run_done")
    assert report.flotime_ms == 48210
    assert report.outputs == (
        OutputRef(
            output_id=FILE,
            file_name="ComfyUI_00994_.png",
            media_type="image/png",
            size_bytes=1234567,
        ),
        OutputRef(
            output_id="file_APJU4Dxxxxxxxxxx",
            file_name="ComfyUI_00995_.png",
            media_type="image/png",
            size_bytes=987654,
        ),
    )


@pytest.mark.parametrize("outputs", [None, []])
def test_a_finished_run_may_have_no_outputs_at_all(outputs: object) -> None:
    report = polled("run_done", outputs=outputs)
    assert (report.state, report.outputs) == (S.SUCCEEDED, ())


def test_an_output_without_a_usable_id_is_kept_so_that_somebody_notices() -> None:
    files = [{"id": FILE}, {"file_name": "lost.png"}, "what?", {"id": "a/../b"}]
    report = polled("run_done", outputs=files)
    assert [ref.output_id for ref in report.outputs] == [FILE, *(f"(no id) {n}" for n in (1, 2, 3))]
    with Wire() as wire, pytest.raises(OutputRefused, match="no file id"):
        adapter(wire).fetch(report.outputs[1], max_bytes=10)
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ("no GPU", "no GPU"),
        ([{"type": "oom"}], '[{"type": "oom"}]'),
        ({"3": ["bad"]}, '{"3": ["bad"]}'),
        (None, "Floyo says: failed"),
        ([], "Floyo says: failed"),
        ("see https://cdn.floyo.ai/f?token=abc.def", "see https://cdn.floyo.ai/f?token=***"),
    ],
)
def test_errors_of_any_shape_become_text_without_secrets(errors: object, told: str) -> None:
    report = polled("run_failed", errors=errors)
    assert (report.error_code, report.error_message) == ("failed", told)


def test_long_errors_are_shortened() -> None:
    message = polled("run_failed", errors=["x" * 100_000]).error_message
    assert message is not None
    assert len(message) == 2000


@pytest.mark.parametrize("value", [None, -1, "12", 1.5, True])
def test_a_flotime_that_is_no_count_is_unknown(value: object) -> None:
    assert polled("run_done", flotime_ms=value).flotime_ms is None


@pytest.mark.parametrize(
    "changes",
    [{"status": None}, {"status": ""}, {"status": 3}, {"id": "run_other"}, {"outputs": {"a": 1}}],
    ids=str,
)
def test_an_answer_that_is_not_this_run_is_unexpected(changes: dict[str, Any]) -> None:
    with Wire(sample("run_done", **changes)) as wire, pytest.raises(UnexpectedAnswer) as caught:
        adapter(wire).poll(RUN, workflow())
    assert caught.value.provider_run_id == RUN


def test_a_run_that_floyo_does_not_know_is_not_found() -> None:
    with Wire(sample("run_not_found")) as wire, pytest.raises(NotFound, match="run not found"):
        adapter(wire).poll(RUN, workflow())


@pytest.mark.parametrize("run_id", ["", "../files", "run/1", "run_1?x=1", "run 1", "run_1\n", "é"])
def test_an_id_that_could_lead_elsewhere_never_becomes_a_path(run_id: str) -> None:
    with Wire() as wire:
        client = adapter(wire).client
        calls: list[Callable[[str], object]] = [
            client.retrieve_run,
            client.cancel_run,
            client.retrieve_file,
            client.download_file,
        ]
        for call in calls:
            with pytest.raises(ConfigurationError, match="not an id"):
                call(run_id)
    assert wire.connections == 0


def test_cancel_gives_the_run_as_it_is_afterwards() -> None:
    with Wire(sample("cancel_run"), sample("run_cancelled")) as wire:
        report = adapter(wire).cancel(RUN, workflow())
    assert (report.state, report.flotime_ms) == (S.CANCELED, 0)
    assert [seen.target for seen in wire.requests] == [
        f"/api/runs/{RUN}/cancel",
        f"/api/runs/{RUN}",
    ]


def test_cancelling_a_finished_run_loses_none_of_its_outputs() -> None:
    with Wire(sample("cancel_run_ended"), sample("run_done")) as wire:
        report = adapter(wire).cancel(RUN, workflow())
    assert (report.state, len(report.outputs), report.flotime_ms) == (S.SUCCEEDED, 2, 48210)


def test_the_client_tells_the_status_that_a_run_ended_in_before_it_was_cancelled() -> None:
    with Wire(sample("cancel_run_ended"), sample("cancel_run")) as wire:
        client = adapter(wire).client
        assert client.cancel_run(RUN) == "done"
        assert client.cancel_run(RUN) == "cancelled"


LABEL = "posters/2026-11-21/cat #0 · 0f0f"
SINCE = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def found(*runs: Mapping[str, Any], wrapped: str | None = "data") -> list[str]:
    listed: Any = list(runs)
    with Wire(answer(200, {wrapped: listed} if wrapped else listed)) as wire:
        receipts = adapter(wire).find(order(), SINCE)
    assert "search=posters%2F2026-11-21%2Fcat" in wire.requests[0].target
    return [receipt.provider_run_id for receipt in receipts]


def listed(run_id: str = "run_1", **changes: Any) -> dict[str, Any]:
    at = (SINCE + timedelta(seconds=5)).isoformat()
    return {"id": run_id, "name": LABEL, "status": "queued", "requested_at": at, **changes}


@pytest.mark.parametrize("wrapped", ["data", "runs", "items", None])
def test_find_reads_every_shape_of_list_that_clients_know(wrapped: str | None) -> None:
    assert found(listed(), wrapped=wrapped) == ["run_1"]


def test_find_takes_the_exact_name_only() -> None:
    assert found(listed("run_1", name=f"{LABEL}x"), listed("run_2", name=None)) == []


def test_find_gives_every_run_of_the_name_so_that_two_are_not_taken_for_one() -> None:
    assert found(listed("run_1"), listed("run_2"), listed("run_1")) == ["run_1", "run_2"]


def test_find_leaves_out_runs_from_before_the_intent() -> None:
    before = (SINCE - timedelta(seconds=1)).isoformat()
    assert found(listed("run_1", requested_at=before), listed("run_2", requested_at=None)) == [
        "run_2"
    ]


def test_find_is_not_led_astray_by_odd_entries() -> None:
    odd = [{}, {"id": 3}, {"id": "a/b", "name": LABEL}, "x", None]
    assert found(*odd, listed("run_9", status=None, outputs="?")) == ["run_9"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "step",
    [
        sample("run_not_found"),
        answer(405, ""),
        answer(400, {"error": "unknown parameter"}),
        answer(200, "<html>"),
        answer(200, {"data": None}),
        answer(200, b"null"),
    ],
    ids=["404", "405", "400", "html", "no list", "null"],
)
def test_a_search_that_does_not_work_proves_nothing(step: Step) -> None:
    with Wire(step) as wire:
        assert adapter(wire).find(order(), SINCE) == ()


def test_a_search_that_could_not_be_asked_is_told() -> None:
    with Wire(answer(503, "")) as wire, pytest.raises(ProviderUnavailable):
        adapter(wire).find(order(), SINCE)


def test_an_output_is_fetched_by_its_id_with_the_key() -> None:
    step = answer(200, b"\x89PNG", content_type="image/png")
    with Wire(step) as wire:
        ref = OutputRef(output_id=FILE)
        with adapter(wire).fetch(ref, max_bytes=100) as download:
            assert download.read() == b"\x89PNG"
    (seen,) = wire.requests
    assert seen.target == f"/cdn/{FILE}/download"
    assert seen.headers["authorization"] == "Bearer flo_test_key_0001"


def test_presigned_urls_are_given_only_when_asked_for_and_never_shown() -> None:
    with Wire(sample("run_expanded")) as wire:
        run = adapter(wire).client.retrieve_run(RUN, expand=True, presigned_url_expires_in=600)
    assert run.outputs[0].presigned_url is not None
    assert "token" not in repr(run)
    assert wire.requests[0].target.endswith(
        "?expand=outputs.presigned_url&presigned_url_expires_in=600"
    )


def test_a_file_tells_its_facts() -> None:
    with Wire(sample("file")) as wire:
        file = adapter(wire).client.retrieve_file(FILE, expand=True)
    assert (file.id, file.mime_type, file.size_bytes) == (FILE, "image/png", 1234567)
    assert file.created_at == datetime(2026, 4, 21, 13, 55, 32, 431054, tzinfo=UTC)
    assert wire.requests[0].target == f"/api/files/{FILE}?expand=presigned_url"


@pytest.mark.parametrize(("expand", "seconds"), [(False, 300), (True, 29), (True, 604_801)])
def test_an_expiry_that_floyo_refuses_is_refused_here(expand: bool, seconds: int) -> None:
    with Wire() as wire, pytest.raises(ConfigurationError, match="30 … 604800"):
        adapter(wire).client.retrieve_run(RUN, expand, seconds)
    assert wire.connections == 0


ENDED = RunReport(provider_run_id=RUN, state=S.SUCCEEDED, provider_status="done", flotime_ms=48_210)


@pytest.mark.parametrize(
    ("rate", "flotime_ms", "price", "cost"),
    [
        ("7", 48_210, "0.02", ("0.093742", "estimated")),
        ("7", 0, "0.02", ("0.000000", "estimated")),
        ("7", None, "0.02", ("0.020000", "estimated")),
        (None, 48_210, "0.02", ("0.020000", "estimated")),
        ("7", None, None, (None, "unknown")),
        (None, 48_210, None, (None, "unknown")),
    ],
)
def test_a_cost_is_estimated_from_flotime_else_from_the_batch_else_unknown(
    rate: str | None, flotime_ms: int | None, price: str | None, cost: tuple[str | None, str]
) -> None:
    report = replace(ENDED, flotime_ms=flotime_ms)
    with Wire() as wire:
        provider = adapter(wire, Decimal(rate) if rate else None)
        usd, basis = provider.cost_usd(report, Decimal(price) if price else None)
    assert (None if usd is None else str(usd), basis) == cost


def test_the_estimate_before_is_the_batchs_own_figure() -> None:
    with Wire() as wire:
        provider = adapter(wire, Decimal(7))
        assert provider.estimate_usd(workflow(), Decimal("0.02")) == Decimal("0.02")
        assert provider.estimate_usd(workflow(), None) is None
        provider.take_turn(Lane.SUBMIT)
