"""Comflowy's answers to what is bought, as documented and as they may be bent, in our words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.batches.checks import check_parameters
from flow_pipelines.model import RunReport, Workflow
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines_tests.unit.batches.samples import batch
from flow_pipelines_tests.unit.providers.comflowy_harness import (
    KEY,
    RUN,
    TOKEN,
    WORKFLOW,
    S,
    adapter,
    bought,
    order,
    sample,
    workflow,
)
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer


def refusal(text: object, status: int = 200, **more: Any) -> Step:
    return answer(status, {"success": False, "error": text, **more})


def test_a_workflow_is_its_id_and_any_node_parameter_may_be_set() -> None:
    found = workflow()
    assert found.reference == WORKFLOW
    assert not found.closed
    assert found.parameters == ()
    assert found.version != workflow("another-id").version
    assert Workflow.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "reference",
    ["", "poster.json", "https://app.comflowy.com/app?id=3fef208b", "a b", "../x", "é", "x" * 201],
)
def test_what_is_no_id_of_a_workflow_is_told_before_anything_is_bought(reference: str) -> None:
    with pytest.raises(ConfigurationError, match="workflow id"):
        workflow(reference)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("6::text", False),
        ("57:8::seed", False),
        ("6.text", True),
        ("text", True),
        ("::x", True),
        ("6::", True),
    ],
)
def test_a_parameter_is_a_node_and_its_field(name: str, wrong: bool) -> None:
    problems = check_parameters(batch(parameters={name: "x"}), workflow())
    assert [problem.message.endswith('<field>"') for problem in problems] == [True] * wrong
    if wrong:
        with Wire() as wire, pytest.raises(RequestRejected, match="<field>"):
            adapter(wire).submit(order(**{name: "x"}))
        assert wire.connections == 0


def test_submit_sends_workflow_and_typed_values_with_the_token() -> None:
    with Wire(sample("token"), sample("run")) as wire:
        receipt = adapter(wire).submit(order())
    assert receipt.provider_run_id == RUN
    token, run = wire.requests
    assert (token.method, token.target) == ("GET", f"/v0/auth/token?ppt={KEY}")
    assert (run.method, run.target) == ("POST", "/v0/run")
    assert run.headers["authorization"] == f"Bearer {TOKEN}"
    assert run.json() == {
        "workflow_id": WORKFLOW,
        "params": {"6::text": "a dog", "57:8::seed": 2**64 - 1, "5::tall": True},
    }


def test_the_client_sends_callbacks_where_they_are_wanted() -> None:
    urls = {"on_result_url": "https://example.com/done"}
    with Wire(sample("token"), sample("run")) as wire:
        assert adapter(wire).client.run("w", {}, on_result_url=urls["on_result_url"]).run_id == RUN
    assert wire.requests[1].json() == {"workflow_id": "w", "params": {}, "callback_urls": urls}


def test_the_same_submission_is_the_same_bytes() -> None:
    with Wire(sample("token"), sample("run")) as wire:
        provider = adapter(wire)
        for _ in range(2):
            provider.submit(order())
    assert wire.requests[1].body == wire.requests[2].body


@pytest.mark.parametrize(
    ("run_id", "found"), [(7, "7"), ("run:1.a/b", "run:1.a/b"), ("run_1", "run_1")]
)
def test_an_id_of_any_shape_is_a_receipt(run_id: object, found: str) -> None:
    assert bought(sample("run", run_id=run_id)).provider_run_id == found


def test_an_id_is_a_receipt_even_beside_a_failure() -> None:
    step = refusal("queue is slow", data={"run_id": RUN})
    assert bought(step).provider_run_id == RUN


@pytest.mark.parametrize("run_id", [None, "", "a b", "x" * 201, -1, True, 1.5, ["a"], {}])
def test_a_receipt_without_a_usable_id_is_unknown(run_id: object) -> None:
    with pytest.raises(SubmitOutcomeUnknown):
        bought(sample("run", run_id=run_id))


@pytest.mark.parametrize(
    "step",
    [
        answer(200, {}),
        answer(200, []),
        answer(200, b"null"),
        answer(200, "<html>"),
        answer(200, {"success": "false", "error": "no"}),
        answer(200, {"success": None}),
        answer(200, {"error": "what?"}),
        answer(200, {"success": True, "data": None}),
        answer(200, {"success": True, "data": [RUN]}),
        refusal("insufficient credits", status=500),
        refusal("workflow not found", status=502),
        refusal("too many requests", status=503),
        answer(302, "", location="/login"),
    ],
)
def test_an_answer_that_proves_nothing_is_unknown(step: Step) -> None:
    with pytest.raises(SubmitOutcomeUnknown):
        bought(step)


WORDS = (
    "Workflow 3fef208b-7d25 not found",
    "Too many requests, slow down",
    "insufficient credits",
    "monthly quota exceeded",
    "Unauthorized",
    "jwt expired",
    "node 5 (WhiteBalance) not found in workflow",
    None,
    {"node": 3, "why": ["bad"]},
    17,
)


@pytest.mark.case(
    "words in Comflowy's 200 or 400 made a refusal of the account, or a proof, of it",
    "the status alone decides: 200 without a run id is unresolved, 400 is this row's fault",
)
@pytest.mark.parametrize("text", WORDS, ids=str)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, SubmitOutcomeUnknown),
        (400, RequestRejected),
        (402, AccountRejected),
        (403, AccountRejected),
        (404, NotFound),
        (409, SubmitOutcomeUnknown),
        (413, RequestRejected),
        (422, RequestRejected),
        (429, RateLimited),
        (500, SubmitOutcomeUnknown),
    ],
)
def test_no_wording_of_a_refusal_changes_what_its_status_proves(
    status: int, text: object, error: type[ProviderError]
) -> None:
    with pytest.raises(error) as caught:
        bought(refusal(text, status=status))
    assert type(caught.value) is error
    assert len(caught.value.vendor_message) <= 500


def test_a_page_of_something_in_between_speaks_by_its_status_too() -> None:
    with pytest.raises(NotFound):
        bought(answer(404, "<html>"))


@pytest.mark.case(
    "a 401 for an ended token sent a second POST under one intent, at Comflowy",
    "the row is planned again, and a new intent goes out with a new token",
)
def test_a_run_refused_for_its_token_is_told_as_not_accepted_and_the_next_has_a_new_one() -> None:
    denied = answer(401, {"success": False, "error": "Token expired"})
    with Wire(
        sample("token"), sample("check_running"), denied, sample("token"), sample("run")
    ) as wire:
        provider = adapter(wire)
        provider.poll(RUN, workflow())
        with pytest.raises(ProviderUnavailable, match="token has ended: Token expired"):
            provider.submit(order())
        assert len(wire.requests) == 3
        assert provider.submit(order()).provider_run_id == RUN
    targets = [seen.target.partition("?")[0] for seen in wire.requests]
    assert targets == ["/v0/auth/token", "/v0/check", "/v0/run", "/v0/auth/token", "/v0/run"]
    assert wire.requests[2].body == wire.requests[4].body


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (sample("token_refused"), AccountRejected),
        (refusal("no such key"), AccountRejected),
        (refusal("too many requests"), ProviderUnavailable),
        (answer(200, {"success": True, "data": {}}), ProviderUnavailable),
        (answer(200, {"access_token": None}), ProviderUnavailable),
        (answer(200, "<html>"), ProviderUnavailable),
    ],
)
def test_without_a_token_nothing_is_bought(step: Step, error: type[ProviderError]) -> None:
    with Wire(step) as wire, pytest.raises(error) as caught:
        adapter(wire).submit(order())
    assert [seen.target for seen in wire.requests] == [f"/v0/auth/token?ppt={KEY}"]
    assert KEY not in str(caught.value)


def test_what_comflowy_cannot_do_is_not_asked_of_it() -> None:
    with Wire() as wire:
        provider = adapter(wire)
        assert provider.find(order(), datetime(2026, 11, 22, tzinfo=UTC)) == ()
        with pytest.raises(ConfigurationError, match="no way to cancel"):
            provider.cancel(RUN, workflow())
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("state", "price", "cost"),
    [
        (S.SUCCEEDED, Decimal("0.02"), (Decimal("0.020000"), "estimated")),
        (S.SUCCEEDED, None, (None, "unknown")),
        (S.FAILED, Decimal("0.02"), (None, "unknown")),
    ],
)
def test_a_run_that_succeeded_costs_what_the_batch_says(
    state: S, price: Decimal | None, cost: tuple[Decimal | None, str]
) -> None:
    report = RunReport(provider_run_id=RUN, state=state, provider_status="x")
    with Wire() as wire:
        provider = adapter(wire)
    assert provider.cost(report, price) == cost
    assert provider.estimate_usd(workflow(), price) == price
