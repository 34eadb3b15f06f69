"""FloImg's workflows and executions, by the typed client against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from flow_pipelines.model.errors import (
    NotFound,
    ProviderError,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.providers.floimg import FloImgClient
from flow_pipelines_tests.conformance.calls.floimg_account import (
    CITY,
    WORKFLOW,
    client_of,
    ended,
)
from flow_pipelines_tests.conformance.providers.account import Account


@pytest.fixture
def account(connect: Callable[[str], Account]) -> Account:
    return connect("floimg")


@pytest.fixture
def client(account: Account) -> FloImgClient:
    return client_of(account)


@pytest.mark.call("floimg", "execute_workflow")
def test_an_asynchronous_execute_gives_a_pending_execution(
    account: Account, client: FloImgClient
) -> None:
    found = client.execute_workflow(WORKFLOW, CITY)
    assert (found.status, found.output, found.duration) == ("pending", None, None)
    assert [run.id for run in account.control.runs("floimg")] == [found.execution_id]


@pytest.mark.call("floimg", "execute_workflow")
def test_a_synchronous_execute_gives_the_output_with_its_size(
    account: Account, client: FloImgClient
) -> None:
    account.control.configure(time_scale=1e12)
    try:
        found = client.execute_workflow(WORKFLOW, CITY, wait_seconds=20)
    finally:
        account.control.configure(time_scale=1.0)
    assert found.status == "completed"
    assert found.duration is not None
    assert found.output is not None
    assert (found.output.width, found.output.height, found.output.format) == (64, 64, "png")
    assert str(found.output.url) not in repr(found)


@pytest.mark.call("floimg", "execute_workflow")
@pytest.mark.parametrize(
    ("workflow_id", "parameters", "error", "code"),
    [
        (WORKFLOW, {}, RequestRejected, "invalid_request"),
        (WORKFLOW, {**CITY, "width": "64"}, RequestRejected, "invalid_request"),
        ("wf_none", CITY, NotFound, "not_found"),
    ],
    ids=["missing", "type", "workflow"],
)
def test_an_execute_at_fault_is_refused_with_floimgs_own_code_and_costs_nothing(
    account: Account,
    client: FloImgClient,
    workflow_id: str,
    parameters: dict[str, Any],
    error: type[ProviderError],
    code: str,
) -> None:
    with pytest.raises(error) as caught:
        client.execute_workflow(workflow_id, parameters)
    assert caught.value.code == code
    assert caught.value.vendor_message
    assert account.meter().runs_billed == 0


@pytest.mark.call("floimg", "execute_workflow")
@pytest.mark.parametrize("wait_seconds", [None, 20.0])
def test_an_execute_whose_answer_is_lost_is_never_sent_again(
    account: Account, client: FloImgClient, wait_seconds: float | None
) -> None:
    account.control.configure(time_scale=1e12)
    account.fault("execute_workflow", "drop_after_accept", count=None)
    try:
        with pytest.raises(SubmitOutcomeUnknown):
            client.execute_workflow(WORKFLOW, CITY, wait_seconds=wait_seconds)
    finally:
        account.control.configure(time_scale=1.0)
    assert account.meter().runs_billed == 1


@pytest.mark.call("floimg", "get_execution")
def test_an_execution_is_told_with_its_times_and_its_link(
    account: Account, client: FloImgClient
) -> None:
    execution_id = client.execute_workflow(WORKFLOW, CITY).execution_id
    found = ended(account, client, execution_id)
    assert (found.execution_id, found.workflow_id) == (execution_id, WORKFLOW)
    assert found.status == "completed"
    assert found.started_at < found.completed_at
    assert found.started_at.tzinfo is not None


@pytest.mark.call("floimg", "get_execution")
def test_a_failed_execution_is_a_status_or_an_error_that_is_not_repeated(
    account: Account, client: FloImgClient
) -> None:
    account.fault("execute_workflow", "run_fails", error="out of memory")
    failed = ended(account, client, client.execute_workflow(WORKFLOW, CITY).execution_id)
    assert (failed.status, failed.error_code) == ("failed", "workflow_failed")
    assert failed.error_message == "out of memory"
    account.fault("execute_workflow", "run_fails", error="workflow_failed")
    execution_id = client.execute_workflow(WORKFLOW, CITY).execution_id
    with pytest.raises(RequestRejected) as caught:
        ended(account, client, execution_id)
    assert (caught.value.code, caught.value.status) == ("workflow_failed", 500)
    assert caught.value.provider_run_id == execution_id


@pytest.mark.call("floimg", "get_execution")
def test_an_execution_that_nobody_made_is_not_found(client: FloImgClient) -> None:
    with pytest.raises(NotFound) as caught:
        client.get_execution("exec_none")
    assert caught.value.code == "not_found"


@pytest.mark.call("floimg", "list_workflows")
def test_workflows_are_listed_a_page_a_request_as_far_as_somebody_asks(
    account: Account, client: FloImgClient
) -> None:
    listing = client.list_workflows(limit=2)
    assert account.requests(0) == []
    found = iter(listing)
    first = next(found)
    assert (first.id, first.project_id) == (WORKFLOW, "proj_posters")
    assert first.updated_at == datetime(2026, 1, 15, 14, 30, tzinfo=UTC)
    assert len(account.requests(1)) == 1
    assert [one.name for one in found] == ["Book cover", "Painted photo"]
    assert len(account.requests(2)) == 2


@pytest.mark.call("floimg", "list_workflows")
def test_a_page_tells_how_long_the_whole_list_is(client: FloImgClient) -> None:
    page = next(client.list_workflows(limit=1, offset=1).pages())
    assert ([one.id for one in page.items], page.total) == (["wf_book_cover"], 3)
    assert page.has_more
    own = client.list_workflows(project_id="proj_books")
    assert [one.id for one in own] == ["wf_book_cover"]


@pytest.mark.call("floimg", "get_workflow")
def test_a_workflow_tells_its_parameters(client: FloImgClient) -> None:
    found = client.get_workflow(WORKFLOW)
    told = [(one.name, one.type, one.required, one.default) for one in found.parameters]
    assert told[:2] == [("prompt", "string", True, None), ("seed", "number", False, 0)]
    assert found.description
    with pytest.raises(NotFound):
        client.get_workflow("wf_none")
