"""Every call that Floyo documents: the client against the stand-in, results and errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.provider import InputFile, TakesFiles
from flow_pipelines.providers.floyo import PROFILE, FileNameTaken, FloyoClient, FloyoProvider
from flow_pipelines.providers.floyo.calls import request
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.fakes import ManualClock

S = SubmissionState
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    settings = SandboxSettings(port=0, bucket_port=0, tuning=Tuning(slots=2, max_picture_side=64))
    with Sandbox(settings, now=lambda: clock.now().timestamp()) as running:
        yield running


@pytest.fixture
def account(sandbox: Sandbox, clock: ManualClock) -> Account:
    """A fresh minute of the rate limit, and a stand-in that remembers nothing."""
    clock.advance(120)
    found = Account("floyo", sandbox, clock)
    found.control.reset()
    return found


@pytest.fixture
def client(account: Account) -> FloyoClient:
    return floyo(account).client


@pytest.fixture
def stranger(account: Account) -> FloyoClient:
    return floyo(Account("floyo", account.sandbox, account.clock, key="flo_key_of_nobody")).client


def floyo(account: Account) -> FloyoProvider:
    assert isinstance(account.provider, FloyoProvider)
    return account.provider


def graph(account: Account) -> dict[str, Any]:
    return dict(account.kept_workflow.body["graph"])


def finished(account: Account) -> str:
    run_id = account.buy()
    account.wait_for(run_id, S.SUCCEEDED)
    return run_id


def operations(account: Account) -> list[str]:
    return [one.operation for one in account.requests(1)]


def api_url(account: Account, path: str) -> str:
    return f"{account.sandbox.environment()['FLOYO_BASE_URL']}{path}"


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
        account.transport.send(request("retrieve_run", "GET", url, params=params))
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


@pytest.mark.call("floyo", "retrieve_file")
def test_a_file_tells_its_facts_and_gives_a_link_when_asked(
    account: Account, client: FloyoClient
) -> None:
    output = client.retrieve_run(finished(account)).outputs[0]
    assert output.id is not None
    file = client.retrieve_file(output.id)
    assert file.model_dump(exclude={"object"}) == output.model_dump()
    assert client.retrieve_file(output.id, expand=True).presigned_url is not None
    with pytest.raises(NotFound, match="file not found"):
        client.retrieve_file("file_nobodysfile000")
    path = api_url(account, f"/files/{output.id}")
    lone = request("retrieve_file", "GET", path, params={"presigned_url_expires_in": "600"})
    with pytest.raises(RequestRejected):
        account.transport.send(lone)


@pytest.mark.call("floyo", "download_file")
def test_a_file_is_downloaded_by_its_id_with_its_name_for_as_long_as_it_is_kept(
    account: Account, client: FloyoClient
) -> None:
    output = client.retrieve_run(finished(account)).outputs[0]
    assert output.id is not None
    account.clock.advance(604_801)
    with client.download_file(output.id) as download:
        assert len(download.read()) == output.size_bytes
        assert (download.file_name, download.media_type) == (output.file_name, "image/png")


@pytest.mark.call("floyo", "download_file")
@pytest.mark.parametrize("name", ["cat (1).png", "gå;.png", "日本.png", '"quoted".png'])
def test_a_downloads_name_is_read_in_both_forms_of_its_header(
    client: FloyoClient, name: str
) -> None:
    file = client.upload_file(b"x", "any.png", filename=name)
    with client.download_file(file.id) as download:
        assert download.file_name == name


@pytest.mark.call("floyo", "download_file")
def test_a_file_is_not_given_to_others_nor_when_it_is_not_there(
    client: FloyoClient, stranger: FloyoClient
) -> None:
    file = client.upload_file(b"x", "cat.png")
    with pytest.raises(AccountRejected), stranger.download_file(file.id):
        pass
    with pytest.raises(NotFound, match="file not found"), client.download_file("file_none"):
        pass


@pytest.mark.call("floyo", "open_presigned_url")
def test_a_link_opens_one_file_without_a_key(account: Account, client: FloyoClient) -> None:
    one, other = client.upload_file(b"one", "1.png"), client.upload_file(b"two", "2.png")
    link = client.retrieve_file(one.id, expand=True).presigned_url
    assert link is not None
    with client.open_presigned_url(link) as download:
        assert (download.read(), download.file_name) == (b"one", "1.png")
    assert account.requests(4)[-1].key == ""
    with pytest.raises(NotFound), client.open_presigned_url(link.replace(one.id, other.id)):
        pass


@pytest.mark.call("floyo", "open_presigned_url")
def test_a_link_is_shown_nowhere(
    account: Account,
    client: FloyoClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("DEBUG")
    # The stand-in's own log, in this very process, may show what it was sent.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "disabled", True)
    file = client.retrieve_file(client.upload_file(b"x", "1.png").id, True, 30)
    link = file.presigned_url
    assert link is not None
    token = link.partition("token=")[2]
    with client.open_presigned_url(link):
        pass
    account.clock.advance(31)
    with pytest.raises(NotFound) as caught, client.open_presigned_url(link):
        pass
    account.fault("open_presigned_url", "refuse", count=None)
    with pytest.raises(ProviderUnavailable) as cut, client.open_presigned_url(link):
        pass
    shown = "".join(map(str, (file, repr(file), caught.value, cut.value, caplog.text)))
    assert "?token=***" in caplog.text
    assert token not in shown
    assert token.split(".")[1] not in shown


@pytest.mark.call("floyo", "upload_file")
def test_an_upload_is_kept_below_its_path_and_can_be_an_input(
    account: Account, client: FloyoClient
) -> None:
    plain = client.upload_file(PNG, "cat.png", media_type="image/png")
    assert (plain.file_name, plain.mime_type, plain.size_bytes) == ("cat.png", "image/png", 8)
    named = client.upload_file(PNG, "cat.png", path="pets/cats", filename="tom.png")
    assert (named.file_name, named.input_path) == ("tom.png", "pets/cats/tom.png")
    with client.download_file(named.id) as download:
        assert download.read() == PNG
    assert account.meter().runs_billed == 0


@pytest.mark.call("floyo", "upload_file")
def test_a_taken_name_is_told_with_a_free_one_or_the_file_is_renamed(client: FloyoClient) -> None:
    client.upload_file(b"one", "cat.png")
    with pytest.raises(FileNameTaken, match=r"Upload Failed: cat\.png exists") as caught:
        client.upload_file(b"two", "cat.png")
    assert (caught.value.suggestion, caught.value.status) == ("cat (1).png", 409)
    kept = client.upload_file(b"two", "cat.png", on_conflict="rename")
    assert kept.file_name == caught.value.suggestion


@pytest.mark.call("floyo", "upload_file")
def test_an_upload_is_refused_for_a_rule_that_floyo_does_not_have_or_a_key(
    client: FloyoClient, stranger: FloyoClient
) -> None:
    with pytest.raises(RequestRejected, match="on_conflict") as caught:
        client.upload_file(b"x", "cat.png", on_conflict="replace")  # type: ignore[arg-type]
    assert not isinstance(caught.value, FileNameTaken)
    with pytest.raises(AccountRejected):
        stranger.upload_file(b"x", "cat.png")


@pytest.mark.call("floyo", "upload_file")
def test_the_stand_in_wants_a_file(account: Account) -> None:
    url = f"{account.sandbox.environment()['FLOYO_CDN_URL']}/upload"
    nothing = request("upload_file", "POST", url, form={"path": "x"}, paced=False)
    with pytest.raises(RequestRejected, match="file is missing"):
        account.transport.send(nothing)


@pytest.mark.parametrize("action", ["drop_after_accept", "status"])
def test_an_input_is_there_after_an_answer_was_lost(account: Account, action: str) -> None:
    provider = floyo(account)
    assert isinstance(provider, TakesFiles)
    account.fault("upload_file", action, **({"status": 503} if action == "status" else {}))
    uploaded = provider.upload_input(picture(b"cat"))
    with provider.client.download_file(uploaded) as download:
        assert download.read() == b"cat"
    path = provider.client.retrieve_file(uploaded).input_path
    assert provider.input_value(uploaded) == path
    assert path is not None
    assert path.startswith("flow-pipelines/cat")


def test_the_same_picture_uploaded_again_is_an_input_of_its_own(account: Account) -> None:
    provider = floyo(account)
    first, second = (provider.upload_input(picture(b"cat")) for _ in range(2))
    paths = [provider.input_value(one) for one in (first, second)]
    assert len(set(paths)) == 2


def test_an_input_of_another_process_is_asked_for_once(account: Account) -> None:
    uploaded = floyo(account).upload_input(picture(b"cat"))
    later = floyo(Account("floyo", account.sandbox, account.clock))
    paths = {later.input_value(uploaded) for _ in range(3)}
    assert paths == {floyo(account).input_value(uploaded)}
    assert operations(account).count("retrieve_file") == 1


def test_an_input_that_floyo_does_not_keep_any_more_is_not_found(account: Account) -> None:
    uploaded = floyo(account).upload_input(picture(b"cat"))
    account.control.reset()
    later = floyo(Account("floyo", account.sandbox, account.clock))
    with pytest.raises(NotFound):
        later.input_value(uploaded)


def picture(content: bytes) -> InputFile:
    name = content.decode()
    return InputFile(
        content=content, file_name=f"{name}.png", media_type="image/png", sha256=name * 16
    )


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
