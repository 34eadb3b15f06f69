"""What FloImg refuses at every call: keys, scopes, too many requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_pipelines.model.errors import AccountRejected, NotFound, RateLimited
from flow_pipelines.providers import profile
from flow_pipelines.providers.floimg import FloImgClient
from flow_pipelines_tests.conformance.calls.floimg_account import (
    CITY,
    WORKFLOW,
    client_of,
    png,
)
from flow_pipelines_tests.conformance.providers.account import Account


@pytest.fixture
def account(connect: Callable[[str], Account]) -> Account:
    return connect("floimg")


@pytest.fixture
def client(account: Account) -> FloImgClient:
    return client_of(account)


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
