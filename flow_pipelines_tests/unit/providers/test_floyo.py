"""What is sent to Floyo, and what its answers to that prove."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.model import OutputRef, RunReport, Workflow
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.provider import Purpose
from flow_pipelines_tests.unit.providers.floyo_harness import (
    FILE,
    RUN,
    S,
    adapter,
    order,
    sample,
    workflow,
)
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer


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
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RequestRejected), (402, AccountRejected), (500, SubmitOutcomeUnknown)],
)
def test_the_status_of_a_refusal_decides_whatever_its_code(
    code: str, status: int, error: type[ProviderError]
) -> None:
    with Wire(answer(status, {"error": code})) as wire, pytest.raises(error) as caught:
        adapter(wire).submit(order())
    assert caught.value.code == code


def refused_graph(checkpoint: str) -> RequestRejected:
    """Have a graph refused as ComfyUI refuses one whose model it does not have."""
    error = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"ckpt_name: '{checkpoint}' not in ['sd15']",
    }
    body = {
        "error": {"type": "prompt_outputs_failed_validation", "message": "Outputs failed"},
        "node_errors": {"4": {"class_type": "CheckpointLoaderSimple", "errors": [error]}},
    }
    with Wire(answer(400, body)) as wire, pytest.raises(RequestRejected) as raised:
        adapter(wire).submit(order())
    return raised.value


def test_a_graph_that_comfyui_refuses_is_told_by_node_and_type() -> None:
    one, other = refused_graph("a"), refused_graph("b")

    assert one.code == "prompt_outputs_failed_validation"
    assert "Outputs failed; node 4: Value not in list: ckpt_name: 'a' not in ['sd15']" in str(one)
    assert [(field["node"], field["type"]) for field in one.fields] == [("4", "value_not_in_list")]
    assert one.kind == other.kind


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


@pytest.mark.parametrize("status", [200, 409])
def test_a_cancel_whose_answer_cannot_be_read_is_told_by_the_run_itself(status: int) -> None:
    with Wire(answer(status, "<html>"), sample("run_cancelled")) as wire:
        assert adapter(wire).cancel(RUN, workflow()).state is S.CANCELED


def test_the_client_tells_the_status_that_a_run_ended_in_before_it_was_cancelled() -> None:
    with Wire(sample("cancel_run_ended"), sample("cancel_run")) as wire:
        client = adapter(wire).client
        ended, cancelled = client.cancel_run(RUN), client.cancel_run(RUN)
    assert (ended.status, ended.already_ended) == ("done", True)
    assert (cancelled.status, cancelled.already_ended) == (None, False)
    assert cancelled.message == "run cancelled"


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
def test_a_search_that_does_not_work_is_told(step: Step) -> None:
    with Wire(step) as wire, pytest.raises(ProviderError):
        adapter(wire).find(order(), SINCE)


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
        usd, basis = provider.cost(report, Decimal(price) if price else None)
    assert (None if usd is None else str(usd), basis) == cost


@pytest.mark.case(
    "a run that Floyo canceled in its queue, or had no balance for, cost the full price",
    "it is free and gives its reservation back; one canceled later costs its FloTime",
)
@pytest.mark.parametrize(
    ("word", "flotime_ms", "has_run", "cost"),
    [
        ("cancelled", None, False, ("0", "free")),
        ("canceled", 0, False, ("0", "free")),
        ("Cancelled", 0, True, ("0", "free")),
        ("insufficient_balance", None, False, ("0", "free")),
        ("insufficient_api_credits", 0, False, ("0", "free")),
        ("cancelled", 36_000, False, ("0.070000", "estimated")),
        ("insufficient_balance", 36_000, False, ("0.070000", "estimated")),
        ("cancelled", None, True, ("0.020000", "estimated")),
        ("failed", None, False, ("0.020000", "estimated")),
    ],
)
def test_what_ended_before_it_began_was_free(
    word: str, flotime_ms: int | None, has_run: bool, cost: tuple[str, str]
) -> None:
    report = replace(
        ENDED, state=S.CANCELED, provider_status=word, flotime_ms=flotime_ms, has_run=has_run
    )
    with Wire() as wire:
        usd, basis = adapter(wire, Decimal(7)).cost(report, Decimal("0.02"))
    assert (str(usd), basis) == cost


def test_the_estimate_before_is_the_batchs_own_figure() -> None:
    with Wire() as wire:
        provider = adapter(wire, Decimal(7))
        assert provider.estimate_usd(workflow(), Decimal("0.02")) == Decimal("0.02")
        assert provider.estimate_usd(workflow(), None) is None
        provider.take_turn(Purpose.SUBMIT)
