"""Every call that Floyo documents: the client against the stand-in, results and errors."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.model.errors import (
    AccountRejected,
    NotFound,
    ProviderError,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.providers.floyo import PROFILE, FloyoClient
from flow_pipelines.providers.floyo.calls import API
from flow_pipelines_tests.conformance.calls.floyo.desk import (
    PNG,
    S,
    api_url,
    finished,
    graph,
    operations,
)
from flow_pipelines_tests.conformance.providers.account import Account


def test_the_profile_lists_calls_that_the_client_and_the_stand_in_name_alike(
    account: Account,
) -> None:
    routes = {call.operation for call in _routes(account) if call.path.startswith("/floyo")}
    listed = [call.operation for call in PROFILE.calls]
    assert len(listed) == len(set(listed)) == 7
    assert [name for name in listed if not callable(getattr(FloyoClient, name, None))] == []
    assert routes == {*listed, "search_runs"}


def _routes(account: Account) -> list[Any]:
    from flow_pipelines.sandbox.floyo import Floyo

    return list(Floyo(account.sandbox.world).calls())


@pytest.mark.call("floyo", "create_run")
def test_a_run_is_created_under_its_name_and_billed_once(
    account: Account, client: FloyoClient
) -> None:
    run = client.create_run(graph(account), name="night one")
    assert run.id.startswith("run_")
    assert (run.name, run.model_extra) == ("night one", {"object": "run"})
    assert account.meter().runs_billed == 1
    assert operations(account) == ["create_run"]


@pytest.mark.call("floyo", "create_run")
def test_a_run_without_a_name_gets_one_from_floyo(account: Account, client: FloyoClient) -> None:
    name = client.create_run(graph(account)).name
    assert name is not None
    assert name.startswith("API Run ")


@pytest.mark.call("floyo", "create_run")
def test_a_graph_that_cannot_run_is_refused_in_floyos_words(client: FloyoClient) -> None:
    with pytest.raises(RequestRejected, match="prompt_no_outputs") as caught:
        client.create_run({"1": {"class_type": "EmptyLatentImage", "inputs": {}}})
    assert (caught.value.status, caught.value.operation) == (400, "create_run")


@pytest.mark.call("floyo", "create_run")
def test_a_failure_to_create_a_run_may_have_bought_one(
    account: Account, client: FloyoClient
) -> None:
    body = '{"error": "internal server error", "message": "Failed to create run"}'
    account.fault("create_run", "status", status=500, body=body)
    with pytest.raises(SubmitOutcomeUnknown, match="Failed to create run"):
        client.create_run(graph(account))
    assert operations(account) == ["create_run"]


@pytest.mark.call("floyo", "create_run")
def test_nobodys_key_buys_nothing(
    account: Account, client: FloyoClient, stranger: FloyoClient
) -> None:
    with pytest.raises(AccountRejected) as caught:
        stranger.create_run(graph(account))
    assert caught.value.status == 401
    assert account.meter().runs_billed == 0


@pytest.mark.call("floyo", "retrieve_run")
def test_a_run_is_told_while_it_goes_and_with_its_outputs_when_it_is_done(
    account: Account, client: FloyoClient
) -> None:
    run_id = account.buy()
    early = client.retrieve_run(run_id)
    assert (early.status, early.outputs, early.flotime_ms) == ("processing", (), None)
    assert early.requested_at is not None
    account.wait_for(run_id, S.SUCCEEDED)
    done = client.retrieve_run(run_id)
    assert (done.id, done.status) == (run_id, "done")
    assert done.flotime_ms
    assert len(done.outputs) == account.case["outputs"]
    for file in done.outputs:
        assert file.id is not None
        assert file.id.startswith("file_")
        assert file.mime_type == "image/png"
        assert file.input_path is not None
        assert file.created_at is not None
        assert file.presigned_url is None


@pytest.mark.call("floyo", "retrieve_run")
def test_a_runs_outputs_come_with_links_that_live_as_long_as_was_asked(
    account: Account, client: FloyoClient
) -> None:
    run_id = finished(account)
    link = client.retrieve_run(run_id, True, 30).outputs[0].presigned_url
    lasting = client.retrieve_run(run_id, expand=True).outputs[0].presigned_url
    assert link is not None
    assert lasting is not None
    account.clock.advance(31)
    with pytest.raises(NotFound), client.open_presigned_url(link):
        pass
    with client.open_presigned_url(lasting) as download:
        assert download.read().startswith(PNG)


@pytest.mark.call("floyo", "retrieve_run")
@pytest.mark.parametrize(
    "params",
    [
        {"presigned_url_expires_in": "600"},
        {"expand": "outputs.presigned_url", "presigned_url_expires_in": "29"},
        {"expand": "outputs.presigned_url", "presigned_url_expires_in": "604801"},
        {"expand": "presigned_url"},
    ],
    ids=["no expand", "too short", "too long", "a file's word"],
)
def test_floyo_refuses_an_expiry_without_expand_or_out_of_range(
    account: Account, params: dict[str, str]
) -> None:
    url = api_url(account, f"/runs/{account.buy()}")
    with pytest.raises(RequestRejected) as caught:
        account.transport.send(API.request("retrieve_run", "GET", url, params=params))
    assert caught.value.status == 400


@pytest.mark.call("floyo", "retrieve_run")
def test_a_run_that_nobody_made_is_not_found_by_its_exact_id(
    account: Account, client: FloyoClient
) -> None:
    other = account.buy().swapcase()
    with pytest.raises(NotFound, match="run not found") as caught:
        client.retrieve_run(other)
    assert caught.value.provider_run_id == other


@pytest.mark.call("floyo", "retrieve_run")
def test_a_request_beyond_the_rate_limit_is_told_as_that(
    account: Account, client: FloyoClient
) -> None:
    run_id = account.buy()
    account.control.configure(requests_per_window=0)
    with pytest.raises(RateLimited):
        client.retrieve_run(run_id)
    account.control.configure(requests_per_window=None)


@pytest.mark.call("floyo", "cancel_run")
def test_cancelling_gives_200_and_then_409_with_the_status_that_it_ended_in(
    account: Account, client: FloyoClient
) -> None:
    run_id = account.buy()
    first, second = client.cancel_run(run_id), client.cancel_run(run_id)
    assert (first.id, first.already_ended, first.message) == (run_id, False, "run cancelled")
    assert (second.id, second.already_ended, second.status) == (run_id, True, "cancelled")
    assert client.retrieve_run(run_id).status == "cancelled"


@pytest.mark.call("floyo", "cancel_run")
def test_cancelling_what_is_done_or_was_never_made(account: Account, client: FloyoClient) -> None:
    done = client.cancel_run(finished(account))
    assert (done.already_ended, done.status) == (True, "done")
    with pytest.raises(NotFound, match="run not found"):
        client.cancel_run("run_nobodysrunatall0")


def test_runs_are_searched_by_name_although_nobody_documents_it(
    account: Account, client: FloyoClient
) -> None:
    made = client.create_run(graph(account), name="night one")
    client.create_run(graph(account), name="day")
    assert [run.id for run in client.search_runs("night")] == [made.id]
    account.control.configure(undocumented_run_list=False)
    with pytest.raises(ProviderError):
        client.search_runs("night")
    account.control.configure(undocumented_run_list=True)
