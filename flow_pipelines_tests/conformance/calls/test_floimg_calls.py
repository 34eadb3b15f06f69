"""Every call that FloImg documents, by its typed client against the sandbox."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    NotFound,
    ProviderError,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.provider import InputFile, ListsWorkflows, SubmitRequest, TakesFiles
from flow_pipelines.providers import profile
from flow_pipelines.providers.floimg import FloImgClient, FloImgProvider
from flow_pipelines_tests.conformance.providers.account import Account

WORKFLOW = "wf_city_poster"
CITY: dict[str, Any] = {"prompt": "a city", "width": 64, "height": 64}


def png(color: str = "red") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def account(connect: Callable[[str], Account]) -> Account:
    return connect("floimg")


@pytest.fixture
def client(account: Account) -> FloImgClient:
    found = account.provider.client  # type: ignore[attr-defined]
    assert isinstance(found, FloImgClient)
    return found


def ended(account: Account, client: FloImgClient, execution_id: str) -> Any:
    account.clock.advance(600)
    return client.get_execution(execution_id)


# ---- workflows ------------------------------------------------------------------------------


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


# ---- storage --------------------------------------------------------------------------------


@pytest.mark.call("floimg", "upload_image")
def test_an_image_is_uploaded_and_described(account: Account, client: FloImgClient) -> None:
    image = client.upload_image(
        png(), "a.png", "image/png", project_id="proj_photos", name="harbour.png"
    )
    assert (image.name, image.format, image.width, image.height) == ("harbour.png", "png", 40, 30)
    assert image.size == len(png())
    assert image.created_at is not None
    assert account.meter().runs_billed == 0
    assert str(image.url) not in repr(image)


@pytest.mark.call("floimg", "upload_image")
def test_an_upload_without_a_name_keeps_that_of_its_file(client: FloImgClient) -> None:
    assert client.upload_image(png(), "a.png", "image/png").name == "a.png"


@pytest.mark.call("floimg", "upload_image")
def test_an_upload_that_is_no_image_or_of_no_project_is_refused(client: FloImgClient) -> None:
    with pytest.raises(RequestRejected) as caught:
        client.upload_image(b"words", "a.png", "image/png")
    assert caught.value.code == "invalid_request"
    with pytest.raises(NotFound):
        client.upload_image(png(), "a.png", "image/png", project_id="proj_none")


@pytest.mark.call("floimg", "upload_image")
def test_an_upload_whose_answer_is_lost_is_made_again(
    account: Account, client: FloImgClient
) -> None:
    account.fault("upload_image", "drop_after_accept")
    image = client.upload_image(png(), "a.png", "image/png")
    assert image.id in {one.id for one in client.list_images()}


@pytest.mark.call("floimg", "list_images")
def test_images_are_listed_over_pages_and_by_project(client: FloImgClient) -> None:
    kept = [
        client.upload_image(png(), f"{n}.png", "image/png", project_id=project).id
        for n, project in enumerate([None, "proj_books", None])
    ]
    listed = list(client.list_images(limit=2))
    assert [one.id for one in listed] == kept
    assert {(one.format, one.width) for one in listed} == {(None, None)}
    assert [one.id for one in client.list_images(project_id="proj_books")] == kept[1:2]
    page = next(client.list_images(limit=2, offset=2).pages())
    assert (page.total, page.has_more, page.length) == (3, False, 1)


@pytest.mark.call("floimg", "get_image")
def test_a_stored_image_is_given_by_its_id(client: FloImgClient) -> None:
    image = client.upload_image(png(), "a.png", "image/png")
    assert client.get_image(image.id) == image
    with pytest.raises(NotFound) as caught:
        client.get_image("img_none")
    assert caught.value.code == "not_found"
    with pytest.raises(ConfigurationError):
        client.get_image("../projects")


@pytest.mark.call("floimg", "delete_image")
def test_a_deleted_image_is_gone(client: FloImgClient) -> None:
    image = client.upload_image(png(), "a.png", "image/png")
    assert client.delete_image(image.id).deleted
    with pytest.raises(NotFound):
        client.delete_image(image.id)
    assert list(client.list_images()) == []


# ---- projects -------------------------------------------------------------------------------


@pytest.mark.call("floimg", "list_projects")
def test_projects_are_listed_over_all_pages(account: Account, client: FloImgClient) -> None:
    made = [client.create_project(f"Project {n}").id for n in range(20)]
    listed = [one.id for one in client.list_projects()]
    assert len(listed) == 23
    assert listed[3:] == made
    assert [one.operation for one in account.requests(22)][-2:] == ["list_projects"] * 2


@pytest.mark.call("floimg", "create_project")
def test_a_project_is_created_once_even_when_its_answer_is_lost(
    account: Account, client: FloImgClient
) -> None:
    project = client.create_project("Marketing", "For campaigns")
    assert (project.name, project.description) == ("Marketing", "For campaigns")
    account.fault("create_project", "drop_after_accept", count=None)
    with pytest.raises(SubmitOutcomeUnknown):
        client.create_project("Lost")
    assert [one.name for one in client.list_projects()][3:] == ["Marketing", "Lost"]


@pytest.mark.call("floimg", "create_project")
def test_a_project_without_a_name_is_refused(client: FloImgClient) -> None:
    with pytest.raises(RequestRejected) as caught:
        client.create_project("")
    assert caught.value.code == "invalid_request"


# ---- links, keys and limits -----------------------------------------------------------------


@pytest.mark.call("floimg", "open_output")
def test_outputs_and_stored_images_are_opened_by_their_links(
    account: Account, client: FloImgClient
) -> None:
    image = client.upload_image(png(), "a.png", "image/png")
    made = ended(account, client, client.execute_workflow(WORKFLOW, CITY).execution_id)
    for link in (image.url, made.output.url):
        with client.open_output(link, max_bytes=10**6) as download:
            assert download.media_type == "image/png"
            assert download.read().startswith(b"\x89PNG")


CALLS: dict[str, Callable[[FloImgClient], object]] = {
    "execute_workflow": lambda it: it.execute_workflow(WORKFLOW, CITY),
    "get_execution": lambda it: it.get_execution("exec_1"),
    "list_workflows": lambda it: list(it.list_workflows()),
    "get_workflow": lambda it: it.get_workflow(WORKFLOW),
    "upload_image": lambda it: it.upload_image(png(), "a.png", "image/png"),
    "list_images": lambda it: list(it.list_images()),
    "get_image": lambda it: it.get_image("img_1"),
    "delete_image": lambda it: it.delete_image("img_1"),
    "list_projects": lambda it: list(it.list_projects()),
    "create_project": lambda it: it.create_project("Posters"),
}


def test_every_documented_call_is_spoken_and_shown() -> None:
    told = {one.operation for one in profile("floimg").calls}
    assert told == {*CALLS, "open_output"}
    assert all(hasattr(FloImgClient, operation) for operation in told)


@pytest.mark.parametrize("operation", CALLS)
def test_an_unknown_key_is_the_accounts_fault_at_every_call(
    account: Account, operation: str
) -> None:
    stranger = Account("floimg", account.sandbox, account.clock, key="fsk_test_of_nobody")
    with pytest.raises(AccountRejected) as caught:
        CALLS[operation](stranger.provider.client)  # type: ignore[attr-defined]
    assert (caught.value.code, caught.value.operation) == ("unauthorized", operation)
    assert caught.value.vendor_message == "Invalid or missing API key"


@pytest.mark.parametrize("operation", CALLS)
def test_a_key_without_the_scope_is_the_accounts_fault_at_every_call(
    account: Account, client: FloImgClient, operation: str
) -> None:
    body = {"error": {"code": "forbidden", "message": "Key lacks required permissions"}}
    account.fault(operation, "status", status=403, body=body, headers={"x-request-id": "req_7"})
    with pytest.raises(AccountRejected) as caught:
        CALLS[operation](client)
    assert (caught.value.code, caught.value.request_id) == ("forbidden", "req_7")


def test_the_client_knows_what_is_left_of_the_limit(account: Account, client: FloImgClient) -> None:
    assert client.rate_limit() is None
    client.get_workflow(WORKFLOW)
    first = client.rate_limit()
    with pytest.raises(NotFound):
        client.get_image("img_none")
    second = client.rate_limit()
    assert first is not None
    assert second is not None
    assert (first.limit, first.remaining, second.remaining) == (60, 59, 58)
    wait = (second.resets_at - account.clock.now()).total_seconds()
    assert 0 < wait <= 60


def test_a_used_up_limit_tells_when_to_come_back(account: Account, client: FloImgClient) -> None:
    account.control.configure(requests_per_window=1)
    try:
        client.execute_workflow(WORKFLOW, CITY)
        with pytest.raises(RateLimited) as caught:
            client.execute_workflow(WORKFLOW, CITY)
    finally:
        account.control.configure(requests_per_window=None)
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after_seconds
    assert 0 < caught.value.retry_after_seconds <= 60
    state = client.rate_limit()
    assert state is not None
    assert (state.limit, state.remaining) == (1, 0)


# ---- the adapter ----------------------------------------------------------------------------


def test_the_adapter_lists_workflows_and_takes_files(account: Account) -> None:
    provider = account.provider
    assert isinstance(provider, ListsWorkflows)
    assert isinstance(provider, TakesFiles)
    listed = [(one.reference, one.name) for one in provider.list_workflows()]
    assert listed[0] == (WORKFLOW, "City poster")
    assert len(listed) == 3


def test_a_picture_becomes_an_input_whose_link_is_asked_for_once(account: Account) -> None:
    provider = account.provider
    assert isinstance(provider, FloImgProvider)
    name = provider.upload_input(
        InputFile(content=png(), file_name="ab12.png", media_type="image/png", sha256="ab12")
    )
    another = Account("floimg", account.sandbox, account.clock).provider
    assert isinstance(another, FloImgProvider)
    before = len(account.requests(1))
    link = another.input_value(name)
    assert [another.input_value(name), provider.input_value(name)] == [link, link]
    assert len(account.requests(before + 1)) == before + 1
    order = SubmitRequest(
        submission_key="0f" * 16,
        workflow=provider.read_workflow("wf_painted_photo", lambda _: b""),
        parameters={"prompt": "in oil", "image": link},
        label="posters/2026-11-21/cat #0 · 0f0f",
    )
    run_id = provider.submit(order).provider_run_id
    assert account.wait_for(run_id, SubmissionState.SUCCEEDED).outputs


def test_a_picture_that_floimg_does_not_keep_any_more_is_not_found(account: Account) -> None:
    provider = account.provider
    assert isinstance(provider, FloImgProvider)
    image = provider.client.upload_image(png(), "a.png", "image/png")
    provider.client.delete_image(image.id)
    with pytest.raises(NotFound):
        provider.input_value(image.id)
