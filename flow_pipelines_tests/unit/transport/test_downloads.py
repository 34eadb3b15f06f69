"""A download is whole, bounded and from where it may come; or it is an error that says so."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import (
    AccountRejected,
    FlowPipelinesError,
    NotFound,
    OutputRefused,
    ProviderUnavailable,
    TransferError,
)
from flow_pipelines.provider import ApiRequest, Resend
from flow_pipelines.transport import HttpTransport, Timeouts
from flow_pipelines.transport.downloads import file_name_of
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.conftest import KEY, request
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer, hang_up, raw

Make = Callable[..., HttpTransport]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 700


def picture(wire: Wire, **rest: object) -> ApiRequest:
    return replace(request(paced=False, **rest), url=f"{wire.url}/file_1/download")


def fetched(sender: HttpTransport, asked: ApiRequest, max_bytes: int = 1_000_000) -> bytes:
    with sender.open(asked, max_bytes=max_bytes) as download:
        return download.read()


def test_a_download_tells_type_size_and_name_and_gives_every_byte(transport: Make) -> None:
    named = "attachment; filename=\"plain.png\"; filename*=UTF-8''%C3%A9t%C3%A9.png"
    step = answer(200, PNG, content_type="Image/PNG; q=1", content_disposition=named)
    with Wire(step) as wire, transport(wire.url).open(picture(wire), max_bytes=10**6) as download:
        facts = (download.media_type, download.size_bytes, download.file_name)
        parts = [download.read(1000)]
        while parts[-1]:
            parts.append(download.read(1000))
    assert facts == ("image/png", len(PNG), "été.png")
    assert b"".join(parts) == PNG
    assert max(map(len, parts)) <= 1000
    assert wire.requests[0].headers["accept-encoding"] == "identity"


def test_a_chunked_download_without_a_length_is_whole_too(transport: Make) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (PNG[:999], PNG[999:]))
    with Wire(raw(head + body + b"0\r\n\r\n")) as wire:
        assert fetched(transport(wire.url), picture(wire)) == PNG


@pytest.mark.parametrize(
    "step",
    [
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + PNG[:5000]),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n" + PNG[:500]),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ],
    ids=["short of its length", "within a chunk", "between chunks"],
)
def test_a_download_that_is_cut_is_a_transfer_error(transport: Make, step: Step) -> None:
    with Wire(step) as wire, pytest.raises(TransferError) as caught:
        fetched(transport(wire.url), picture(wire))
    assert not isinstance(caught.value, OutputRefused)


def test_a_download_announced_as_too_big_is_refused_before_it_is_read(transport: Make) -> None:
    with Wire(answer(200, PNG)) as wire, pytest.raises(OutputRefused, match="at most 1000"):
        fetched(transport(wire.url), picture(wire), max_bytes=1000)


def test_a_download_of_unknown_length_ends_at_the_limit(transport: Make) -> None:
    with (
        Wire(raw(b"HTTP/1.1 200 OK\r\n\r\n" + PNG)) as wire,
        pytest.raises(OutputRefused, match="more than 100000 bytes"),
    ):
        fetched(transport(wire.url), picture(wire), max_bytes=100_000)


def test_a_compressed_download_may_not_grow_beyond_the_limit(transport: Make) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    with (
        Wire(answer(200, bomb, content_encoding="gzip")) as wire,
        transport(wire.url).open(picture(wire), max_bytes=1_000_000) as download,
    ):
        assert download.size_bytes is None
        with pytest.raises(OutputRefused, match="more than"):
            download.read()


def test_a_download_that_drips_below_the_slowest_pace_ends(transport: Make) -> None:
    wire = Wire()
    wire = Wire(wire.drip(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", 0.02))
    with wire:
        sender = transport(wire.url, clock=SystemClock(), timeouts=Timeouts(read_seconds=0.2))
        with pytest.raises(TransferError, match="timed out"):
            fetched(sender, picture(wire))


def test_a_reader_that_takes_its_time_does_not_end_a_download(
    transport: Make, clock: ManualClock
) -> None:
    with (
        Wire(answer(200, PNG)) as wire,
        transport(wire.url).open(picture(wire), max_bytes=10**6) as download,
    ):
        content = b""
        while chunk := download.read(10_000):
            content += chunk
            clock.advance(600)
    assert content == PNG


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_the_key(transport: Make, status: int) -> None:
    with Wire(answer(200, PNG)) as store:
        moved = answer(status, "", location=f"{store.url}/signed?sig=1")
        with Wire(moved) as wire:
            assert fetched(transport(wire.url), picture(wire, params={"a": "b"})) == PNG
    assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in store.requests[0].headers
    assert store.requests[0].target == "/signed?sig=1"


def test_a_redirect_that_is_relative_stays_with_the_provider(transport: Make) -> None:
    with Wire(answer(302, "", location="/other"), answer(200, PNG)) as wire:
        assert fetched(transport(wire.url), picture(wire)) == PNG
    assert [seen.target for seen in wire.requests] == ["/file_1/download", "/other"]


def test_redirects_without_end_are_given_up(transport: Make) -> None:
    with (
        Wire(answer(302, "", location="/again")) as wire,
        pytest.raises(TransferError, match="more than 3 redirects"),
    ):
        fetched(transport(wire.url), picture(wire))
    assert len(wire.requests) == 4


@pytest.mark.parametrize("target", ["http://10.0.0.1/x", "file:///etc/passwd", "https://10.0.0.1/"])
def test_a_redirect_to_where_nobody_should_go_is_refused(transport: Make, target: str) -> None:
    with Wire(answer(302, "", location=target)) as wire, pytest.raises(OutputRefused):
        fetched(transport(wire.url), picture(wire))


def test_a_name_that_resolves_to_this_machine_is_refused_at_the_connection(
    transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire() as wire:
        inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", wire.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: inside)
        asked = replace(picture(wire), url=f"https://pictures.example.com:{wire.port}/a.png")
        with pytest.raises(OutputRefused, match=r"resolves to 127\.0\.0\.1, not a public address"):
            fetched(transport("https://api.example.com"), asked)
    assert wire.requests == []


@pytest.mark.parametrize(
    ("status", "error"), [(401, AccountRejected), (403, AccountRejected), (404, NotFound)]
)
def test_a_refusal_of_the_provider_itself_is_about_account_or_file(
    transport: Make, status: int, error: type[FlowPipelinesError]
) -> None:
    with Wire(answer(status, "")) as wire, pytest.raises(error):
        fetched(transport(wire.url), picture(wire))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_of_a_foreign_host_is_a_link_that_ran_out(transport: Make, status: int) -> None:
    with Wire(answer(status, "")) as store, pytest.raises(TransferError, match="the link gives"):
        fetched(transport("http://127.0.0.1:1"), picture(store))


@pytest.mark.parametrize("status", [204, 206])
def test_an_answer_without_the_whole_content_is_a_transfer_error(
    transport: Make, status: int
) -> None:
    with Wire(answer(status, b"")) as wire, pytest.raises(TransferError, match="instead of"):
        fetched(transport(wire.url), picture(wire))


def test_a_passing_failure_before_the_content_is_tried_again(transport: Make) -> None:
    with Wire(answer(503, ""), hang_up, answer(200, PNG)) as wire:
        assert fetched(transport(wire.url), picture(wire)) == PNG


def test_a_lasting_outage_is_told_after_the_budget(transport: Make) -> None:
    with Wire(answer(503, "")) as wire, pytest.raises(ProviderUnavailable):
        fetched(transport(wire.url), picture(wire))
    assert len(wire.requests) == 4


def test_what_is_billed_cannot_be_downloaded_by_accident(transport: Make) -> None:
    with Wire() as wire, pytest.raises(ValueError, match="billed"):
        fetched(transport(wire.url), picture(wire, resend=Resend.NEVER))
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.png"', "a b.png"),
        ("attachment; filename*=UTF-8''%e6%b7%b1.png", "深.png"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="..\\\\..\\\\boot.ini"', "boot.ini"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('attachment; filename=".."', None),
        ('attachment; filename=".bashrc"', "bashrc"),
        ('attachment; filename="a\x00\x1b[2J.png"', "a[2J.png"),
        ('attachment; filename=""', None),
        ("attachment", None),
        ("", None),
        (None, None),
        (";;;===", None),
        ("attachment; filename*=nonsense''%zz", "%zz"),
    ],
)
def test_a_file_name_is_never_a_path(header: str | None, name: str | None) -> None:
    assert file_name_of(header) == name
