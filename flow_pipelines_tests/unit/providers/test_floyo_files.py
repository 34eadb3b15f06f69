"""Files at Floyo: what an upload sends, and what its answers prove."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.model.errors import NotFound, RequestRejected, UnexpectedAnswer
from flow_pipelines.provider import InputFile, TakesFiles
from flow_pipelines.providers.floyo.client import FileNameTaken
from flow_pipelines_tests.unit.providers.floyo_harness import FILE, adapter, sample
from flow_pipelines_tests.unit.transport.wire import Wire, answer

PICTURE = InputFile(
    content=b"cat", file_name="77af77.png", media_type="image/png", sha256="77af" * 16
)


def test_an_uploads_form_fields_come_before_its_file_and_the_key_goes_with_it() -> None:
    with Wire(sample("upload_file")) as wire:
        stored = adapter(wire).client.upload_file(
            b"cat", "tom.png", "pets", "cat.png", "rename", media_type="image/png"
        )
    assert (stored.id, stored.input_path) == (FILE, "flow-pipelines/cat.png")
    (seen,) = wire.requests
    assert (seen.method, seen.target) == ("POST", "/cdn/upload")
    assert seen.headers["authorization"] == "Bearer flo_test_key_0001"
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    parts = [b'name="path"', b'name="filename"', b'name="on_conflict"', b'name="file"']
    places = [seen.body.index(part) for part in parts]
    assert places == sorted(places)
    assert b'filename="tom.png"\r\nContent-Type: image/png\r\n\r\ncat\r\n' in seen.body


def test_what_is_not_given_is_not_sent_but_for_the_rule() -> None:
    with Wire(sample("upload_file")) as wire:
        adapter(wire).client.upload_file(b"cat", "cat.png")
    body = wire.requests[0].body
    assert b'name="on_conflict"\r\n\r\nfail\r\n' in body
    assert b'name="path"' not in body
    assert b'name="filename"' not in body


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_taken_name_is_known_by_its_suggestion_whatever_status_it_comes_with(status: int) -> None:
    body = {"error": "Upload Failed", "message": "there", "suggestion": "cat (1).png"}
    with Wire(answer(status, body)) as wire, pytest.raises(FileNameTaken) as caught:
        adapter(wire).client.upload_file(b"cat", "cat.png")
    assert (caught.value.suggestion, caught.value.status) == ("cat (1).png", status)
    assert caught.value.vendor_message == "Upload Failed: there"
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (409, {"error": "Upload Failed"}, FileNameTaken),
        (409, "<html>", FileNameTaken),
        (409, {"suggestion": 7}, FileNameTaken),
        (400, {"error": "the form field file is missing"}, RequestRejected),
    ],
)
def test_a_refusal_without_a_suggestion_is_told_by_its_status(
    status: int, body: Any, kind: type[RequestRejected]
) -> None:
    with Wire(answer(status, body)) as wire, pytest.raises(RequestRejected) as caught:
        adapter(wire).client.upload_file(b"cat", "cat.png")
    assert type(caught.value) is kind
    assert getattr(caught.value, "suggestion", None) is None


@pytest.mark.parametrize(
    "changes",
    [{"id": None}, {"id": "../x"}, {"input_path": None}, {"input_path": ""}, {"size_bytes": 2}],
    ids=str,
)
def test_an_upload_that_no_graph_could_name_or_that_was_cut_is_unexpected(changes: Any) -> None:
    with Wire(sample("upload_file", **changes)) as wire, pytest.raises(UnexpectedAnswer):
        adapter(wire).upload_input(PICTURE)


def test_an_input_is_kept_under_its_contents_name_in_a_folder_of_ours() -> None:
    with Wire(sample("upload_file")) as wire:
        provider = adapter(wire)
        assert isinstance(provider, TakesFiles)
        uploaded = provider.upload_input(PICTURE)
        assert provider.input_value(uploaded) == "flow-pipelines/cat.png"
    (seen,) = wire.requests
    assert uploaded == FILE
    assert b'name="path"\r\n\r\nflow-pipelines\r\n' in seen.body
    assert b'name="on_conflict"\r\n\r\nrename\r\n' in seen.body
    assert b'filename="77af77.png"\r\nContent-Type: image/png' in seen.body


def test_an_input_that_was_uploaded_before_is_asked_for_once() -> None:
    with Wire(sample("file", input_path="a/b.png")) as wire:
        provider = adapter(wire)
        assert [provider.input_value(FILE) for _ in range(3)] == ["a/b.png"] * 3
    assert [seen.target for seen in wire.requests] == [f"/api/files/{FILE}"]


def test_an_input_that_is_gone_or_has_no_path_is_never_put_into_a_graph() -> None:
    with Wire(sample("file_not_found")) as wire, pytest.raises(NotFound):
        adapter(wire).input_value(FILE)
    for changes in ({"input_path": None}, {"id": "file_another000000"}):
        with Wire(sample("file", **changes)) as wire, pytest.raises(UnexpectedAnswer):
            adapter(wire).input_value(FILE)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="cat (1).png"', "cat (1).png"),
        ("attachment; filename*=UTF-8''g%C3%A5%20b.png", "gå b.png"),
        ("attachment; filename=\"x.png\"; filename*=UTF-8''y.png", "y.png"),
        ('attachment; filename="../../x.png"', "x.png"),
        ("", None),
    ],
)
def test_a_download_gives_the_name_that_comes_with_it(header: str, name: str | None) -> None:
    step = answer(200, b"x", content_disposition=header)
    with Wire(step) as wire, adapter(wire).client.download_file(FILE) as download:
        assert download.file_name == name


def test_a_link_that_leads_to_the_cdn_is_opened_without_the_key() -> None:
    with Wire(answer(200, b"x")) as wire:
        link = f"{wire.url}/cdn/{FILE}?token=eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
        with adapter(wire).client.open_presigned_url(link) as download:
            assert download.read() == b"x"
    (seen,) = wire.requests
    assert "authorization" not in seen.headers
    assert seen.target.endswith("token=eyJhbGciOiJIUzI1NiJ9.e30.c2ln")


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_link_that_has_run_out_is_no_fault_of_the_account(status: int) -> None:
    with Wire(answer(status, {"error": "token has expired"})) as wire:
        link = f"{wire.url}/cdn/{FILE}?token=abc"
        with pytest.raises(NotFound), adapter(wire).client.open_presigned_url(link):
            pass
