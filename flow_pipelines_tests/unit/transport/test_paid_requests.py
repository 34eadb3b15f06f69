"""A paid request reaches the provider at most once, and its error says what is proven."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import (
    AccountRejected,
    KeyAlreadyKnown,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.provider import AnsweredRequest, ErrorBody, Resend, Verdict
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, Timeouts
from flow_pipelines.transport.http import PAID_SENT_WITHIN
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.conftest import request
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer, hang_up, raw, reset

Make = Callable[..., HttpTransport]
PAID = [Resend.NEVER, Resend.REPLAYS]

LOST: dict[str, Step] = {
    "hung up before an answer": hang_up,
    "reset before an answer": reset,
    "half a status line": raw(b"HTTP/1.1 20"),
    "no status line at all": raw(b"who are you?\r\n\r\n"),
    "half the headers": raw(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "half a body": raw(b'HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"id":"run'),
    "a chunked body without its end": raw(
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{"id":"ru\r\n'
    ),
    "a chunk that is none": raw(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
    ),
    "a body that is not the gzip it claims": answer(200, b"plain", content_encoding="gzip"),
    "far more body than any answer has": answer(200, b" " * (16 * 1024 * 1024 + 1)),
    "an error whose reason was lost": raw(b"HTTP/1.1 401 X\r\ncontent-length: 50\r\n\r\n{"),
    "a redirect": answer(307, b"", location="/elsewhere"),
    "another redirect": answer(303, b"", location="/elsewhere"),
    "500": answer(500, {"error": "Failed to create run"}),
    "502 in HTML": answer(502, "<html>bad gateway</html>"),
    "503 with Retry-After": answer(503, {}, retry_after="1"),
    "504": answer(504, ""),
    "408": answer(408, ""),
    "a status nobody knows": answer(799, ""),
    "418": answer(418, ""),
}


def paid(wire: Wire, resend: Resend = Resend.NEVER, **rest: object) -> object:
    return replace(request(resend, **rest), url=f"{wire.url}/runs")


class Sleepwalker(ManualClock):
    """The clock of a process that is suspended between any two looks at it."""

    def now(self) -> datetime:
        self.advance(PAID_SENT_WITHIN.total_seconds() + 1)
        return super().now()


@pytest.mark.parametrize("resend", PAID)
def test_a_process_that_wakes_up_too_late_sends_nothing_paid(
    transport: Make, resend: Resend
) -> None:
    with Wire() as wire, pytest.raises(ProviderUnavailable, match="no connection"):
        transport(wire.url, clock=Sleepwalker()).send(paid(wire, resend))
    assert wire.requests == []


def test_a_process_that_wakes_up_late_may_still_ask(transport: Make) -> None:
    with Wire() as wire:
        transport(wire.url, clock=Sleepwalker()).send(paid(wire, Resend.SAFE))
    assert wire.methods() == ["GET"]


@pytest.mark.parametrize("resend", PAID)
@pytest.mark.parametrize("step", LOST.values(), ids=LOST.keys())
def test_a_lost_or_unclear_answer_is_unknown_and_never_sent_again(
    transport: Make, step: Step, resend: Resend
) -> None:
    with Wire(step, answer()) as wire, pytest.raises(SubmitOutcomeUnknown) as caught:
        transport(wire.url).send(paid(wire, resend))
    assert wire.methods() == ["POST"]
    assert caught.value.operation == "do_thing"


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nx-slow: ", b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n"],
    ids=["nothing at all", "headers", "body"],
)
def test_an_answer_that_drips_ends_at_its_deadline_and_is_unknown(
    transport: Make, head: bytes
) -> None:
    wire = Wire()
    wire = Wire(wire.silence) if not head else Wire(wire.drip(head, 0.02))
    with wire:
        patient = transport(wire.url, clock=SystemClock(), timeouts=Timeouts(read_seconds=0.2))
        with pytest.raises(SubmitOutcomeUnknown, match="timed out"):
            patient.send(paid(wire))
    assert wire.methods() == ["POST"]


def test_a_request_may_wait_for_its_answer_for_longer_or_shorter_than_others(
    transport: Make,
) -> None:
    silent = Wire()
    silent = Wire(silent.silence)
    with silent:
        patient = transport(silent.url, clock=SystemClock(), timeouts=Timeouts(read_seconds=30))
        with pytest.raises(SubmitOutcomeUnknown, match="timed out"):
            patient.send(replace(paid(silent), read_seconds=0.1))
    assert silent.methods() == ["POST"]


def test_a_refused_connection_proves_that_nothing_was_accepted(transport: Make) -> None:
    with Wire() as wire:
        pass
    with pytest.raises(ProviderUnavailable, match="no connection: Connection refused"):
        transport(wire.url).send(paid(wire))


def test_a_failed_tls_handshake_proves_that_nothing_was_accepted(transport: Make) -> None:
    with Wire() as wire:
        base = wire.url.replace("http:", "https:")
        with pytest.raises(ProviderUnavailable, match="no connection: TLS failed"):
            transport(base).send(replace(request(Resend.NEVER), url=f"{base}/runs"))
    assert wire.requests == []


@pytest.mark.parametrize(
    "step", [answer(403, "no"), hang_up, reset], ids=["403", "closed", "reset"]
)
def test_a_proxy_that_opens_no_tunnel_proves_that_nothing_was_accepted(
    transport: Make, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    with Wire(step) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        sender = transport("https://api.example.com")
        with pytest.raises(ProviderUnavailable, match="no connection"):
            sender.send(replace(request(Resend.NEVER), url="https://api.example.com/runs"))
    assert proxy.methods() == ["CONNECT"]
    assert "authorization" not in proxy.requests[0].headers


def test_a_socks_proxy_is_refused_because_it_could_not_tell_what_left(
    transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    sender = transport("https://api.example.com")
    with pytest.raises(AccountRejected, match="SOCKS"):
        sender.send(replace(request(Resend.NEVER), url="https://api.example.com/runs"))


def test_a_connection_that_is_never_answered_counts_as_not_established(transport: Make) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        url = f"http://127.0.0.1:{port}"
        quick = transport(url, timeouts=Timeouts(connect_seconds=0.1, read_seconds=0.1))
        with pytest.raises(ProviderUnavailable, match="no connection: timed out"):
            quick.send(replace(request(Resend.NEVER), url=f"{url}/runs"))
        for filler in fillers:
            filler.close()


def test_a_paid_request_never_uses_a_connection_that_was_used_before(transport: Make) -> None:
    with Wire() as wire:
        sender = transport(wire.url)
        sender.send(replace(request(), url=f"{wire.url}/runs/1"))
        sender.send(paid(wire))
        sender.send(paid(wire))
        sender.send(replace(request(), url=f"{wire.url}/runs/1"))
    assert [seen.connection for seen in wire.requests] == [1, 2, 3, 1]
    assert wire.requests[1].headers["connection"] == "close"


def test_the_same_request_is_sent_as_the_same_bytes(transport: Make) -> None:
    body = {"workflow": {"3": {"seed": 2**64 - 1, "text": "été 😀 \ud800"}}, "name": "n"}
    with Wire() as wire:
        for _ in range(2):
            transport(wire.url).send(paid(wire, json=body))
    first, second = wire.requests
    assert first.body == second.body
    assert first.json() == body


@pytest.mark.parametrize("value", [float("nan"), {1, 2}], ids=["NaN", "a set"])
def test_what_cannot_be_written_as_json_is_rejected_before_it_is_sent(
    transport: Make, value: object
) -> None:
    with Wire() as wire, pytest.raises(RequestRejected):
        transport(wire.url).send(paid(wire, json={"value": value}))
    assert wire.connections == 0


def test_a_paid_request_without_a_key_is_refused_before_it_is_sent(transport: Make) -> None:
    with Wire() as wire, pytest.raises(AccountRejected, match="no API key is configured"):
        transport(wire.url, secret=Secret("")).send(paid(wire))
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRejected),
        (401, AccountRejected),
        (402, AccountRejected),
        (403, AccountRejected),
        (404, NotFound),
        (405, RequestRejected),
        (409, SubmitOutcomeUnknown),
        (413, RequestRejected),
        (415, RequestRejected),
        (422, RequestRejected),
        (429, RateLimited),
    ],
)
def test_the_status_of_an_answer_says_what_it_proves(
    transport: Make, status: int, error: type[ProviderError]
) -> None:
    with (
        Wire(answer(status, "<html>", request_id="req_1")) as wire,
        pytest.raises(error) as caught,
    ):
        transport(wire.url).send(paid(wire, provider_run_id="run_9"))
    assert type(caught.value) is error
    assert wire.methods() == ["POST"]
    assert (caught.value.status, caught.value.request_id) == (status, "req_1")
    assert caught.value.provider_run_id == "run_9"


@pytest.mark.case(
    "a code or a text in the body of a 200, 400, 422 or 500 said what the answer proves",
    "of a paid request the status alone decides, at every provider; 409 and 5xx prove nothing",
)
def test_the_status_decides_whatever_code_comes_with_it(transport: Make) -> None:
    verdicts: dict[int | str, Verdict] = {
        "no_money": Verdict.ACCOUNT,
        500: Verdict.REJECTED,
        422: Verdict.KEY_KNOWN,
    }

    def read(seen: object) -> ErrorBody:
        body = seen.json()  # type: ignore[attr-defined]
        return ErrorBody(code=body["code"], message=body["message"])

    steps = [
        answer(500, {"code": "no_money", "message": "top up"}),
        answer(400, {"code": "no_money", "message": "bad row"}),
        answer(422, {"code": "other", "message": "used before"}),
    ]
    found = []
    with Wire(*steps) as wire:
        for _ in steps:
            with pytest.raises(ProviderError) as caught:
                transport(wire.url).send(paid(wire, verdicts=verdicts, read_error=read))
            found.append((type(caught.value), caught.value.code, caught.value.vendor_message))
    assert found == [
        (SubmitOutcomeUnknown, "no_money", "top up"),
        (RequestRejected, "no_money", "bad row"),
        (KeyAlreadyKnown, "other", "used before"),
    ]


def test_an_error_under_status_200_is_unknown_whatever_its_code(transport: Make) -> None:
    def is_error(seen: object) -> bool:
        return not seen.json()["success"]  # type: ignore[attr-defined]

    with Wire(answer(200, {"success": False})) as wire, pytest.raises(SubmitOutcomeUnknown):
        transport(wire.url).send(paid(wire, is_error=is_error))
    with (
        Wire(answer(200, "<html>")) as wire,
        pytest.raises(SubmitOutcomeUnknown, match="cannot be read"),
    ):
        transport(wire.url).send(paid(wire, is_error=is_error))


@pytest.mark.parametrize("body", ["<html>hi</html>", "[]", "null", '"run_1"', "", "[" * 100_000])
def test_a_good_status_over_anything_but_an_object_is_unknown(transport: Make, body: str) -> None:
    with Wire(answer(200, body)) as wire:
        order = paid(wire)
        got = transport(wire.url).send(order)
    with pytest.raises(SubmitOutcomeUnknown):
        AnsweredRequest(provider="acme", request=order, answer=got).document()


def test_what_a_429_says_about_others_does_not_hide_what_it_proves(transport: Make) -> None:
    from flow_pipelines.model.errors import LedgerBusy

    class BusyStore:
        def reserve(self, key: str, **_: object) -> float:
            return 0.0

        def hold_until(self, key: str, until: object) -> None:
            raise LedgerBusy("locked")

    with Wire(answer(429, {}, retry_after="9")) as wire, pytest.raises(RateLimited) as caught:
        transport(wire.url, pace=BusyStore()).send(paid(wire))
    assert caught.value.retry_after_seconds == 9.0
