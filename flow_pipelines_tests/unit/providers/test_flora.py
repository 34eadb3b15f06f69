"""FLORA: what is sent, and what its answers to a submit prove."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.model import ParameterSpec, SubmissionState, Workflow
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    KeyAlreadyKnown,
    NotFound,
    OutputRefused,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.model.output import OutputRef
from flow_pipelines.provider import Resend
from flow_pipelines.providers.flora import PROFILE
from flow_pipelines.providers.flora.records import TechniqueRun
from flow_pipelines.providers.flora.workflows import input_type
from flow_pipelines_tests.unit.providers.flora_harness import (
    KEY,
    RUN,
    adapter,
    order,
    recorded,
    sample,
    workflow,
)
from flow_pipelines_tests.unit.transport.wire import Wire, answer, hang_up, reset

MEDIA_HOSTS = (".flora.ai", ".googleapis.com", ".amazonaws.com", ".imagekit.io")
TEXT = {"id": "a", "type": "text"}


def test_a_technique_becomes_a_workflow_with_its_inputs_and_its_price() -> None:
    found = workflow()
    assert found.parameters == (
        ParameterSpec(name="prompt", type="text", required=True),
        ParameterSpec(name="reference", type="image", required=False, hosts=MEDIA_HOSTS),
    )
    assert found.closed
    assert found.price_usd == Decimal("0.0425")
    assert Workflow.from_json(found.to_json()) == found


@pytest.mark.parametrize("reference", ["city-poster", "tech_abc123"])
def test_a_technique_is_asked_for_by_slug_or_id_and_run_by_its_slug(reference: str) -> None:
    with Wire(sample("technique")) as wire:
        found = adapter(wire).read_workflow(reference, lambda _: b"")
    assert wire.requests[0].target == f"/api/techniques/{reference}"
    assert (found.reference, found.body["slug"]) == (reference, "city-poster")
    assert found.version == workflow().version


def test_a_technique_without_a_slug_is_run_by_what_it_was_asked_for_by() -> None:
    assert workflow("tech_abc123", slug=None).body["slug"] == "tech_abc123"


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"run_cost": 0.05}, True),
        ({"inputs": [TEXT]}, True),
        ({"outputs": []}, True),
        ({"technique_id": "tech_other"}, True),
        ({"name": "Another name", "description": "And words"}, False),
    ],
    ids=str,
)
def test_a_version_changes_with_the_definition(changes: dict[str, Any], differs: bool) -> None:
    assert (workflow(**changes).version != workflow().version) is differs


def test_a_technique_that_is_not_there_is_named() -> None:
    with (
        Wire(sample("not_found")) as wire,
        pytest.raises(ConfigurationError, match="'no-such-poster'"),
    ):
        adapter(wire).read_workflow("no-such-poster", lambda _: b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"technique_id": None},
        {"technique_id": "a/b"},
        {"inputs": None},
        {"inputs": {"a": TEXT}},
        {"inputs": [TEXT, "text"]},
        {"inputs": [{"id": "a"}]},
        {"inputs": [{"id": 1, "type": "text"}]},
        {"outputs": "none"},
    ],
    ids=str,
)
def test_a_technique_that_cannot_be_understood_is_unexpected(changes: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswer):
        workflow(**changes)


@pytest.mark.parametrize("price", [None, "free", -1, float("nan"), True, {}])
def test_a_price_that_is_no_amount_is_unknown(price: object) -> None:
    assert workflow(run_cost=price).price_usd is None


@pytest.mark.parametrize(
    ("written", "sent", "kind"),
    [
        ("imageUrl", "imageUrl", "image"),
        ("image_url", "imageUrl", "image"),
        ("IMAGE_URL", "imageUrl", "image"),
        ("videoUrl", "videoUrl", "video"),
        ("audio_url", "audioUrl", "audio"),
        ("TEXT", "text", "text"),
        ("documentUrl", "documentUrl", "document"),
        ("hologram", "hologram", "text"),
    ],
)
def test_every_spelling_of_a_type_is_kept_checked_and_sent_as_the_newest(
    written: str, sent: str, kind: str
) -> None:
    frozen = workflow(inputs=[{"id": "a", "type": written}])
    assert frozen.body["inputs"][0]["type"] == written
    [spec] = frozen.parameters
    assert (spec.type, bool(spec.hosts)) == (kind, kind != "text")
    with Wire(sample("create_run")) as wire:
        adapter(wire).submit(order(frozen, a="https://media.flora.ai/a.png"))
    assert wire.requests[0].json()["inputs"][0]["type"] == sent
    assert input_type(written) == sent


def test_submit_sends_the_key_in_body_and_header_and_nothing_more_than_documented() -> None:
    with Wire(sample("create_run")) as wire:
        receipt = adapter(wire).submit(order(prompt="a dog", reference="https://x.flora.ai/1"))
    (seen,) = wire.requests
    assert (seen.method, seen.target) == ("POST", "/api/techniques/city-poster/runs")
    assert seen.headers["idempotency-key"] == KEY
    assert seen.headers["authorization"] == "Bearer sk_live_test_key_0001"
    assert seen.json() == {
        "inputs": [
            {"id": "prompt", "type": "text", "value": "a dog"},
            {"id": "reference", "type": "imageUrl", "value": "https://x.flora.ai/1"},
        ],
        "mode": "async",
        "idempotency_key": KEY,
    }
    assert receipt.provider_run_id == RUN
    assert receipt.created_at == datetime(2024, 3, 9, 16, 0, tzinfo=UTC)
    assert receipt.report is not None
    assert receipt.report.state is SubmissionState.QUEUED


def test_the_same_submission_is_the_same_bytes_in_whatever_order_its_values_come() -> None:
    frozen, again = workflow(), Workflow.from_json(workflow().to_json())
    with Wire(sample("create_run")) as wire:
        adapter(wire).submit(order(frozen, prompt="a dog", reference="https://x.flora.ai/1"))
        adapter(wire).submit(order(again, reference="https://x.flora.ai/1", prompt="a dog"))
    first, second = wire.requests
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_an_optional_input_that_is_empty_is_left_out() -> None:
    with Wire(sample("create_run")) as wire:
        adapter(wire).submit(order(prompt="", reference=""))
    assert wire.requests[0].json()["inputs"] == [{"id": "prompt", "type": "text", "value": ""}]


@pytest.mark.parametrize("parameters", [{"prompt": "a", "size": "9"}, {"reference": ""}], ids=str)
def test_inputs_that_flora_would_refuse_are_rejected_before_anything_is_sent(
    parameters: dict[str, str],
) -> None:
    with Wire() as wire, pytest.raises(RequestRejected):
        adapter(wire).submit(order(**parameters))
    assert wire.connections == 0


def test_a_replayed_answer_is_a_receipt_like_the_first() -> None:
    with Wire(sample("create_run"), sample("create_run_replayed")) as wire:
        receipts = {adapter(wire).submit(order()).provider_run_id for _ in range(2)}
    assert receipts == {RUN}


@pytest.mark.parametrize("changes", [{"status": None}, {"outputs": 7}, {"progress": "x"}], ids=str)
def test_a_receipt_needs_no_more_than_a_run_id(changes: dict[str, Any]) -> None:
    with Wire(sample("create_run", **changes)) as wire:
        receipt = adapter(wire).submit(order())
    assert receipt.provider_run_id == RUN


@pytest.mark.parametrize("run_id", [None, 7, "", "../run", "run_a/b"])
def test_an_answer_without_a_usable_run_id_is_unknown(run_id: object) -> None:
    with (
        Wire(sample("create_run", run_id=run_id)) as wire,
        pytest.raises(SubmitOutcomeUnknown),
    ):
        adapter(wire).submit(order())


ANSWERS: dict[str, type[ProviderError]] = {
    "invalid_json": RequestRejected,
    "input_validation_error": RequestRejected,
    "unauthorized": AccountRejected,
    "invalid_api_key": AccountRejected,
    "insufficient_credits": AccountRejected,
    "forbidden": AccountRejected,
    "not_found": NotFound,
    "conflict": KeyAlreadyKnown,
    "idempotency_duplicate": KeyAlreadyKnown,
    "idempotency_conflict": KeyAlreadyKnown,
    "rate_limited": RateLimited,
    "unknown_error": SubmitOutcomeUnknown,
    "service_unavailable": SubmitOutcomeUnknown,
}


@pytest.mark.parametrize(("case", "error"), ANSWERS.items())
def test_every_documented_refusal_has_its_meaning(case: str, error: type[ProviderError]) -> None:
    told = sample(case)
    with Wire(told) as wire, pytest.raises(error) as caught:
        adapter(wire).submit(order())
    assert type(caught.value) is error
    assert caught.value.code == case
    assert caught.value.vendor_message == recorded(case)["body"]["error"]["message"]
    assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [409, 422])
def test_a_conflict_in_words_that_nobody_documents_is_looked_up(status: int) -> None:
    with Wire(answer(status, "<html>")) as wire, pytest.raises(KeyAlreadyKnown):
        adapter(wire).submit(order())


@pytest.mark.parametrize("step", [reset, hang_up], ids=["reset", "hang up"])
def test_a_lost_answer_is_unknown_and_not_sent_again(step: Any) -> None:
    with Wire(step) as wire, pytest.raises(SubmitOutcomeUnknown):
        adapter(wire, attempts=4).submit(order())
    assert len(wire.requests) == 1


def test_fields_and_the_answers_own_name_come_along() -> None:
    told = recorded("input_validation_error")
    with (
        Wire(answer(400, told["body"], request_id="req_9")) as wire,
        pytest.raises(RequestRejected) as caught,
    ):
        adapter(wire).submit(order())
    assert list(caught.value.fields) == told["body"]["error"]["fields"]
    assert caught.value.request_id == "req_9"


@pytest.mark.parametrize(("case", "seconds"), [("rate_limited", 5.0), ("rate_limited_told", 17.0)])
def test_a_429_holds_for_as_long_as_told_else_for_five_seconds(case: str, seconds: float) -> None:
    with Wire(sample(case)) as wire, pytest.raises(RateLimited) as caught:
        adapter(wire).submit(order())
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '{"error":"no"}', '{"error":null}'])
@pytest.mark.parametrize(("status", "error"), [(400, RequestRejected), (429, RateLimited)])
def test_an_error_in_no_shape_is_judged_by_its_status(
    body: str, status: int, error: type[ProviderError]
) -> None:
    with Wire(answer(status, body)) as wire, pytest.raises(error):
        adapter(wire).submit(order())


def test_a_run_without_a_key_is_never_called_a_replay() -> None:
    with Wire(sample("create_run")) as wire:
        adapter(wire).client.create_technique_run("city-poster", [{**TEXT, "value": "x"}])
    assert "idempotency-key" not in wire.requests[0].headers
    assert "idempotency_key" not in wire.requests[0].json()
    sent: list[Resend] = []

    class Noting:
        def send(self, request: Any) -> Any:
            sent.append(request.resend)
            raise ProviderUnavailable("no", provider="flora", operation="x")

    for key in ("k", None):
        client = PROFILE.connect(Noting(), base_url="https://app.flora.ai/api/v1").client
        with pytest.raises(ProviderUnavailable):
            client.create_technique_run("s", [], key)
    assert sent == [Resend.REPLAYS, Resend.NEVER]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a?b", "a b", "ü"])
def test_an_id_that_could_lead_elsewhere_never_becomes_a_path(name: str) -> None:
    with Wire() as wire:
        client = adapter(wire).client
        calls: list[Callable[[str], object]] = [
            client.retrieve_technique,
            lambda one: client.retrieve_technique_run(one, RUN),
            lambda one: client.retrieve_technique_run("city-poster", one),
            lambda one: client.create_technique_run(one, [], KEY),
        ]
        for call in calls:
            with pytest.raises(ConfigurationError, match="not an id"):
                call(name)
    assert wire.connections == 0


def test_nothing_is_cancelled_and_nothing_fetched_without_a_link() -> None:
    with Wire() as wire:
        with pytest.raises(ConfigurationError, match="no way to cancel"):
            adapter(wire).cancel(RUN, workflow())
        with pytest.raises(OutputRefused, match="no link"):
            adapter(wire).fetch(OutputRef(output_id="poster"), max_bytes=10)
    assert wire.connections == 0


def test_an_output_is_fetched_by_its_link_without_the_key() -> None:
    with Wire(answer(200, b"\x89PNG", content_type="image/png")) as wire:
        ref = OutputRef(output_id="poster", url=f"{wire.url}/media/poster.png?sig=1")
        with adapter(wire).fetch(ref, max_bytes=100) as download:
            assert download.read() == b"\x89PNG"
    assert wire.requests[0].target == "/media/poster.png?sig=1"
    assert "authorization" not in wire.requests[0].headers


def test_a_list_gives_runs_with_what_only_lists_tell() -> None:
    with Wire(sample("technique_runs_end")) as wire:
        (found,) = adapter(wire).client.list_technique_runs("tech_abc123")
    assert isinstance(found, TechniqueRun)
    assert (found.run_id, found.status) == ("run_1", "completed")
    assert (found.technique.technique_id, found.project_id) == ("tech_abc123", "prj_abc123")
