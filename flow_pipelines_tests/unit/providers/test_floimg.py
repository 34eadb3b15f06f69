"""FloImg's saved workflows, and what its answers to an execute prove."""

from __future__ import annotations

import pytest

from flow_pipelines.model import OutputRef, ParameterSpec, RunReport, Workflow
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.providers.floimg.adapter import LOOKED_THROUGH
from flow_pipelines_tests.unit.providers.floimg_harness import (
    EXECUTION,
    ORDER,
    URL,
    WORKFLOW,
    S,
    adapter,
    body,
    bought,
    nothing,
    sample,
    workflow,
)
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer


def test_a_saved_workflow_becomes_a_closed_list_of_typed_parameters() -> None:
    found = workflow()
    assert found.parameters == (
        ParameterSpec(name="prompt", type="text", required=True),
        ParameterSpec(name="width", type="number", default=1200),
    )
    assert found.closed
    assert found.body == {"workflow_id": WORKFLOW}
    assert Workflow.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("word", "kind"),
    [("integer", "integer"), ("boolean", "boolean"), ("image", "any"), (None, "any"), ([], "any")],
)
def test_a_parameter_of_another_type_takes_what_it_is_given(word: object, kind: str) -> None:
    parameters = [{"name": "it", "type": word}]
    (spec,) = workflow(sample("workflow", parameters=parameters), sample("workflows")).parameters
    assert (spec.type, spec.required) == (kind, False)


@pytest.mark.parametrize("parameters", [None, []])
def test_a_workflow_may_take_no_parameters(parameters: object) -> None:
    step = sample("workflow", parameters=parameters)
    assert workflow(step, sample("workflows")).parameters == ()


def test_the_version_changes_with_parameters_and_with_the_time_of_the_last_update() -> None:
    later = [{**body("workflows")["workflows"][0], "updatedAt": "2026-01-16T08:00:00Z"}]
    other = [{"name": "prompt", "type": "string"}]
    versions = [
        workflow().version,
        workflow(sample("workflow"), sample("workflows", workflows=later)).version,
        workflow(sample("workflow", parameters=other), sample("workflows")).version,
        workflow(sample("workflow"), sample("workflows", workflows=[])).version,
    ]
    assert len(set(versions)) == 4
    assert workflow().version == versions[0]


def test_the_time_of_the_last_update_is_looked_for_on_later_pages() -> None:
    others = [{"id": "wf_other"}, {"id": "wf_third"}]
    first = sample("workflows", workflows=others, hasMore=True)
    with Wire(sample("workflow"), first, sample("workflows")) as wire:
        found = adapter(wire).read_workflow(WORKFLOW, nothing)
    assert found.version == workflow().version
    assert [seen.target for seen in wire.requests[1:]] == [
        f"/v1/workflows?limit=100&offset={offset}&projectId=proj_abc123" for offset in (0, 2)
    ]


def test_an_update_is_looked_for_among_the_first_thousand_workflows_only() -> None:
    pages = [
        sample("workflows", workflows=[{"id": f"wf_{page}_{n}"} for n in range(100)], hasMore=True)
        for page in range(12)
    ]
    with Wire(sample("workflow"), *pages) as wire:
        adapter(wire).read_workflow(WORKFLOW, nothing)
    assert len(wire.requests) == 1 + LOOKED_THROUGH // 100


def test_a_workflow_that_tells_of_its_update_itself_needs_no_list() -> None:
    with Wire(sample("workflow", updatedAt="2026-01-15T14:30:00Z")) as wire:
        found = adapter(wire).read_workflow(WORKFLOW, nothing)
    assert len(wire.requests) == 1
    assert found.version == workflow().version


def test_a_workflow_that_floimg_does_not_have_is_missed_by_its_id() -> None:
    with (
        Wire(sample("not_found")) as wire,
        pytest.raises(ConfigurationError, match=f"no workflow '{WORKFLOW}'"),
    ):
        adapter(wire).read_workflow(WORKFLOW, nothing)


@pytest.mark.parametrize("reference", ["", "poster.json", "../storage", "wf/1", "s3://b/k"])
def test_a_reference_that_is_no_id_is_sent_nowhere(reference: str) -> None:
    with Wire() as wire, pytest.raises(ConfigurationError, match="not an id"):
        adapter(wire).read_workflow(reference, nothing)
    assert wire.connections == 0


@pytest.mark.parametrize(
    "step",
    [
        sample("workflow", id="wf_other"),
        sample("workflow", parameters={"prompt": "string"}),
        sample("workflow", parameters=["prompt"]),
        sample("workflow", parameters=[{"type": "string"}]),
        answer(200, '{"id":"wf_abc123","parameters":[{"name":"a","default":1e999}]}'),
        answer(200, "<html>"),
        answer(200, "[]"),
    ],
    ids=["another", "object", "texts", "no name", "infinity", "html", "list"],
)
def test_an_answer_that_is_not_this_workflow_is_unexpected(step: Step) -> None:
    with pytest.raises(UnexpectedAnswer):
        workflow(step)


@pytest.mark.parametrize("listed", [None, {"wf_abc123": {}}, "none"])
def test_a_list_that_is_none_is_unexpected(listed: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        workflow(sample("workflow"), sample("workflows", workflows=listed))


def test_odd_entries_of_a_list_lead_nobody_astray() -> None:
    odd = [None, "x", {}, {"id": 3}, {"id": "wf_other", "parameters": 5, "updatedAt": 7}]
    listed = [*odd, *body("workflows")["workflows"]]
    assert workflow(sample("workflow"), sample("workflows", workflows=listed)) == workflow()


def test_submit_executes_asynchronously_with_the_parameters_by_name() -> None:
    with Wire(sample("execute_pending")) as wire:
        receipt = adapter(wire).submit(ORDER)
    (seen,) = wire.requests
    assert (seen.method, seen.target) == ("POST", "/v1/workflows/execute")
    assert seen.headers["authorization"] == "Bearer fsk_test_key_0001"
    assert seen.json() == {
        "workflowId": WORKFLOW,
        "parameters": {"prompt": "a dog", "width": 2**53 + 1},
        "async": True,
    }
    assert (receipt.provider_run_id, receipt.provider_status) == (EXECUTION, "pending")
    assert receipt.report is not None
    assert receipt.report.state is S.QUEUED


def test_an_execution_that_ended_at_once_is_a_receipt_with_its_report() -> None:
    report = bought(sample("execute_completed")).report
    assert report == RunReport(
        provider_run_id=EXECUTION,
        state=S.SUCCEEDED,
        provider_status="completed",
        run_ms=2340,
        outputs=(OutputRef(output_id="output", media_type="image/png", url=URL),),
    )


def test_an_execution_that_failed_at_once_is_a_receipt_too() -> None:
    receipt = bought(sample("execute_failed"))
    assert receipt.provider_run_id == EXECUTION
    assert receipt.report is not None
    assert receipt.report.state is S.FAILED


def test_a_workflow_failed_error_on_submit_proves_nothing_and_is_never_sent_again() -> None:
    with (
        Wire(sample("workflow_failed")) as wire,
        pytest.raises(SubmitOutcomeUnknown, match="Workflow execution failed") as caught,
    ):
        adapter(wire).submit(ORDER)
    assert (caught.value.code, caught.value.status) == ("workflow_failed", 500)
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "step",
    [
        sample("execute_pending", executionId=None),
        sample("execute_pending", executionId="../executions"),
        sample("execute_pending", executionId=7),
        answer(500, {"error": {"code": "internal", "message": "workflow_failed"}}),
        answer(500, {"error": "workflow_failed"}),
        answer(502, "<html>"),
    ],
    ids=["no id", "a path", "a number", "500", "flat 500", "502"],
)
def test_an_answer_to_a_submit_that_proves_nothing_is_unknown(step: Step) -> None:
    with pytest.raises(SubmitOutcomeUnknown):
        bought(step)


@pytest.mark.case(
    "FloImg accepted an execution and its answer had no usable status: the id was thrown away",
    "the id alone is the receipt; the next poll tells the status",
)
@pytest.mark.parametrize("status", [None, {}])
def test_the_id_of_an_accepted_execution_is_the_receipt_whatever_else_is_there(
    status: object,
) -> None:
    receipt = bought(sample("execute_pending", status=status))
    assert receipt.provider_run_id == bought(sample("execute_pending")).provider_run_id
    assert receipt.report is None


@pytest.mark.parametrize("case", ["unauthorized", "forbidden"])
def test_a_key_without_the_right_scope_is_the_accounts_fault(case: str) -> None:
    with pytest.raises(AccountRejected) as caught:
        bought(sample(case))
    assert caught.value.code == case


def test_an_invalid_request_tells_its_details() -> None:
    with pytest.raises(RequestRejected) as caught:
        bought(sample("invalid_request"))
    assert caught.value.code == "invalid_request"
    assert caught.value.fields == ({"parameter": "prompt"},)


def test_a_rate_limit_says_when_to_come_back_in_its_header_or_its_body() -> None:
    for step, seconds in [
        (sample("rate_limited"), 15),
        (answer(429, {"error": {"code": "rate_limited", "retryAfter": 7}}), 7),
    ]:
        with pytest.raises(RateLimited) as caught:
            bought(step)
        assert caught.value.retry_after_seconds == seconds
