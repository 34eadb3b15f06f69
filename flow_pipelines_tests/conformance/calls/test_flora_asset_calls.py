"""FLORA's assets in every documented way, by the typed client against the sandbox."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    NotFound,
    ProviderUnavailable,
    RequestRejected,
)
from flow_pipelines.provider import InputFile, ListsWorkflows, SubmitRequest, TakesFiles
from flow_pipelines.providers.flora import FloraClient, FloraProvider
from flow_pipelines.providers.flora.assets import SIGNED_URL, AssetFile
from flow_pipelines_tests.conformance.calls.test_flora_calls import PICTURE, SPACE
from flow_pipelines_tests.conformance.providers.account import Account


@pytest.fixture
def account(connect: Callable[[str], Account]) -> Account:
    return connect("flora")


@pytest.fixture
def provider(account: Account) -> FloraProvider:
    assert isinstance(account.provider, FloraProvider)
    return account.provider


@pytest.fixture
def client(provider: FloraProvider) -> FloraClient:
    return provider.client


# ---- assets ---------------------------------------------------------------------------------


@pytest.mark.call("flora", "create_asset")
def test_a_small_file_is_an_asset_at_once(client: FloraClient) -> None:
    asset = client.create_asset(PICTURE, SPACE)
    assert (asset.status, asset.uploaded_via, asset.workspace_id) == ("ready", "direct", SPACE)
    assert str(asset.url) not in repr(asset)


@pytest.mark.call("flora", "create_asset")
def test_flora_fetches_an_asset_from_an_address(client: FloraClient) -> None:
    project = client.create_project("Spring", SPACE).project_id
    asset = client.create_asset("https://pictures.example.org/a.png", SPACE, project)
    assert (asset.status, asset.uploaded_via) == ("ready", "url")
    [listed] = client.list_assets(project_id=project)
    assert listed.asset_id == asset.asset_id


@pytest.mark.call("flora", "create_asset")
@pytest.mark.parametrize(
    "source",
    [
        "http://pictures.example.org/a.png",
        "ftp://pictures.example.org/a.png",
        "https://",
        "https://[",
        AssetFile(content=b"BM", file_name="a.bmp", media_type="image/bmp"),
        AssetFile(content=b"", file_name="a.png", media_type="image/png"),
        AssetFile(content=bytes(4_000_001), file_name="a.png", media_type="image/png"),
    ],
    ids=["http", "ftp", "no host", "broken", "type", "empty", "too big"],
)
def test_what_flora_would_refuse_is_not_sent(
    account: Account, client: FloraClient, source: AssetFile | str
) -> None:
    with pytest.raises(RequestRejected):
        client.create_asset(source, SPACE)
    assert account.requests(0) == []


@pytest.mark.call("flora", "create_asset")
@pytest.mark.parametrize(
    ("source", "field"),
    [
        ("https://10.0.0.7/a.png", "source"),
        (AssetFile(content=b"GIF89a", file_name="a.png", media_type="image/png"), "file"),
    ],
    ids=["inside", "another type"],
)
def test_an_asset_at_fault_is_refused_by_field(
    client: FloraClient, source: AssetFile | str, field: str
) -> None:
    with pytest.raises(RequestRejected) as caught:
        client.create_asset(source, SPACE)
    assert caught.value.fields[0]["field"] == field
    assert list(client.list_assets()) == []


@pytest.mark.call("flora", "upload_file")
@pytest.mark.call("flora", "complete_asset")
def test_a_reservation_takes_a_file_without_the_key_and_is_completed(
    account: Account, client: FloraClient
) -> None:
    reserved = client.create_asset(SIGNED_URL, SPACE)
    assert reserved.status == "pending_upload"
    assert reserved.expires_at is not None
    assert 890 < (reserved.expires_at - account.clock.now()).total_seconds() <= 900
    assert reserved.upload is not None
    assert str(reserved.upload.url) not in repr(reserved)
    with pytest.raises(RequestRejected) as caught:
        client.complete_asset(reserved.asset_id)
    assert caught.value.code == "conflict"
    client.upload_file(reserved.upload, PICTURE)
    client.upload_file(reserved.upload, PICTURE)  # a second copy does no harm
    assert client.complete_asset(reserved.asset_id).status == "ready"
    noted = [one for one in account.requests(5) if one.operation == "upload_file"]
    assert [(one.key, one.status) for one in noted] == [("", 204), ("", 204)]


@pytest.mark.call("flora", "upload_file")
@pytest.mark.call("flora", "retry_asset")
def test_a_link_that_ran_out_is_renewed(account: Account, client: FloraClient) -> None:
    reserved = client.reserve_asset(PICTURE, SPACE)
    assert reserved.upload is not None
    with pytest.raises(RequestRejected) as caught:
        client.retry_asset(reserved.asset_id)
    assert caught.value.code == "conflict"
    account.clock.advance(901)
    with pytest.raises(RequestRejected) as caught:
        client.upload_file(reserved.upload, PICTURE)
    assert (caught.value.status, caught.value.operation) == (403, "upload_file")
    fresh = client.retry_asset(reserved.asset_id)
    assert fresh.asset_id == reserved.asset_id
    assert fresh.upload is not None
    client.upload_file(fresh.upload, PICTURE)
    assert client.complete_asset(fresh.asset_id).status == "ready"


@pytest.mark.call("flora", "complete_asset")
@pytest.mark.call("flora", "retry_asset")
def test_a_file_that_is_not_what_was_reserved_fails_and_may_be_sent_anew(
    client: FloraClient,
) -> None:
    reserved = client.reserve_asset(PICTURE, SPACE)
    assert reserved.upload is not None
    other = AssetFile(content=b"GIF89a", file_name="a.gif", media_type="image/gif")
    client.upload_file(reserved.upload, other)
    failed = client.complete_asset(reserved.asset_id)
    assert (failed.status, failed.failure_message) == ("failed", "The file is not image/png.")
    fresh = client.retry_asset(reserved.asset_id)
    assert fresh.upload is not None
    client.upload_file(fresh.upload, PICTURE)
    assert client.complete_asset(reserved.asset_id).status == "ready"


@pytest.mark.call("flora", "retrieve_asset")
@pytest.mark.call("flora", "list_assets")
def test_an_asset_tells_the_same_time_in_both_spellings(client: FloraClient) -> None:
    made = client.create_asset(PICTURE, SPACE)
    found = client.retrieve_asset(made.asset_id)
    [listed] = client.list_assets(SPACE, query="cat")
    assert found.created_at == listed.created_at
    assert found.created_at is not None
    assert (found.name, found.size_bytes) == ("cat.png", len(PICTURE.content))
    assert (found.content_type, found.url) == ("image/png", made.url)
    with pytest.raises(NotFound):
        client.retrieve_asset("asset_none")


@pytest.mark.call("flora", "list_assets")
def test_assets_are_listed_over_pages_newest_first(account: Account, client: FloraClient) -> None:
    account.control.configure(requests_per_window=500)
    try:
        made = [client.create_asset(SIGNED_URL, SPACE).asset_id for _ in range(101)]
        assert [one.asset_id for one in client.list_assets()] == made[::-1]
    finally:
        account.control.configure(requests_per_window=None)
    with pytest.raises(AccountRejected):
        list(client.list_assets("ws_other"))


# ---- in one call, and by the adapter --------------------------------------------------------

LARGE = b"\x89PNG\r\n\x1a\n" + bytes(4_000_000)


@pytest.mark.parametrize(
    ("content", "via", "requests"),
    [(PICTURE.content, "direct", ["create_asset"]),
     (LARGE, "signed_url", ["create_asset", "upload_file", "complete_asset"])],
    ids=["direct", "by a link"],
)  # fmt: skip
def test_a_file_goes_the_way_that_takes_its_size(
    account: Account, client: FloraClient, content: bytes, via: str, requests: list[str]
) -> None:
    asset = client.upload_asset(content, "cat.png", "image/png", SPACE)
    assert asset.status == "ready"
    assert [one.operation for one in account.requests(len(requests))] == requests
    found = client.retrieve_asset(asset.asset_id)
    assert (found.uploaded_via, found.size_bytes) == (via, len(content))


def test_a_link_that_does_not_take_the_file_is_asked_for_anew_only_where_flora_gives_one(
    account: Account, client: FloraClient
) -> None:
    account.fault("upload_file", "status", status=403, count=None)
    with pytest.raises(RequestRejected) as caught:
        client.upload_asset(LARGE, "cat.png", "image/png", SPACE)
    assert (caught.value.code, caught.value.operation) == ("conflict", "retry_asset")
    assert len(account.requests(3)) == 3


@pytest.mark.parametrize("operation", ["create_asset", "upload_file", "complete_asset"])
def test_an_answer_that_is_lost_on_the_way_costs_no_upload(
    account: Account, client: FloraClient, operation: str
) -> None:
    account.fault(operation, "drop_after_accept")
    asset = client.upload_asset(LARGE, "cat.png", "image/png", SPACE)
    assert client.retrieve_asset(asset.asset_id).status == "ready"


def picture(content: bytes = PICTURE.content, media_type: str = "image/png") -> InputFile:
    return InputFile(
        content=content, file_name="ab12.png", media_type=media_type, sha256="ab12" * 16
    )


@pytest.mark.parametrize("content", [PICTURE.content, LARGE], ids=["direct", "by a link"])
def test_a_picture_becomes_an_input_whose_address_is_asked_for_once(
    account: Account, provider: FloraProvider, content: bytes
) -> None:
    assert isinstance(provider, TakesFiles)
    name = provider.upload_input(picture(content))
    another = Account("flora", account.sandbox, account.clock).provider
    assert isinstance(another, FloraProvider)
    before = len(account.requests(2))
    link = another.input_value(name)
    assert [another.input_value(name), provider.input_value(name)] == [link, link]
    assert len(account.requests(before + 1)) == before + 1
    order = SubmitRequest(
        submission_key="0f" * 16,
        workflow=provider.read_workflow("painted-over", lambda _: b""),
        parameters={"picture": link, "prompt": "in oil"},
        label="posters/2026-11-21/cat #0 · 0f0f",
        idempotency_key="0f" * 16,
    )
    run_id = provider.submit(order).provider_run_id
    account.clock.advance(600)
    report = provider.poll(run_id, order.workflow)
    assert (report.state, len(report.outputs)) == (SubmissionState.SUCCEEDED, 1)


def test_an_asset_that_is_not_ready_is_asked_for_again_later(
    account: Account, provider: FloraProvider
) -> None:
    reserved = provider.client.reserve_asset(PICTURE, SPACE)
    assert reserved.upload is not None
    with pytest.raises(ProviderUnavailable, match="not ready yet"):
        provider.input_value(reserved.asset_id)
    provider.client.upload_file(reserved.upload, PICTURE)
    provider.client.complete_asset(reserved.asset_id)
    assert provider.input_value(reserved.asset_id).startswith(account.sandbox.url)


def test_an_asset_that_failed_or_is_gone_has_to_be_uploaded_again(provider: FloraProvider) -> None:
    reserved = provider.client.reserve_asset(PICTURE, SPACE)
    assert reserved.upload is not None
    wrong = AssetFile(content=b"GIF89a", file_name="a.gif", media_type="image/gif")
    provider.client.upload_file(reserved.upload, wrong)
    provider.client.complete_asset(reserved.asset_id)
    for gone in (reserved.asset_id, "asset_none"):
        with pytest.raises(NotFound):
            provider.input_value(gone)


@pytest.mark.parametrize(
    "file",
    [picture(media_type="image/bmp"), picture(b""), picture(b"GIF89a" + bytes(4_000_000))],
    ids=["type", "empty", "not what it says"],
)
def test_a_picture_that_flora_takes_no_way_is_refused(
    provider: FloraProvider, file: InputFile
) -> None:
    with pytest.raises(RequestRejected):
        provider.upload_input(file)


def test_the_adapter_lists_techniques_by_what_a_batch_names(provider: FloraProvider) -> None:
    assert isinstance(provider, ListsWorkflows)
    first, *others = provider.list_workflows()
    assert (first.reference, first.name) == ("city-poster", "City poster")
    assert first.description
    assert provider.read_workflow(first.reference, lambda _: b"").reference == first.reference
    assert len(others) == 3


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a?b"])
def test_an_id_that_could_lead_elsewhere_never_becomes_a_path(
    account: Account, client: FloraClient, name: str
) -> None:
    calls: list[Callable[[str], object]] = [
        client.retrieve_project,
        client.retrieve_asset,
        client.complete_asset,
        client.retry_asset,
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="not an id"):
            call(name)
    assert account.requests(0) == []
