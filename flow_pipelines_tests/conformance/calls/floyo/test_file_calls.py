"""Every call on files that Floyo documents: uploads, links, downloads and inputs."""

from __future__ import annotations

import logging

import pytest

from flow_pipelines.model.errors import (
    AccountRejected,
    NotFound,
    ProviderUnavailable,
    RequestRejected,
)
from flow_pipelines.provider import InputFile, TakesFiles
from flow_pipelines.providers.floyo import FloyoClient
from flow_pipelines.providers.floyo.calls import API
from flow_pipelines.providers.floyo.client import FileNameTaken
from flow_pipelines_tests.conformance.calls.floyo.desk import (
    PNG,
    api_url,
    finished,
    floyo,
    operations,
)
from flow_pipelines_tests.conformance.providers.account import Account


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
    lone = API.request("retrieve_file", "GET", path, params={"presigned_url_expires_in": "600"})
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
    nothing = API.request("upload_file", "POST", url, form={"path": "x"}, paced=False)
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
