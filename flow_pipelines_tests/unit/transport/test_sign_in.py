"""A key becomes a token once for all; a refused token is replaced once for each request."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.provider import ApiAnswer, ApiRequest, ErrorBody, Purpose, Resend, SignIn
from flow_pipelines.redaction import Secret, redact
from flow_pipelines.transport import HttpTransport, RetryBudget
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.conftest import KEY, request
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer, hang_up

Make = Callable[..., HttpTransport]
QUOTED = "flo_Key%2B%2FWith%3DSigns0001"
DENIED = answer(401, {"error": "token has ended"})
DONE = answer(200, {"done": True})


def sign_in_request(base_url: str) -> ApiRequest:
    return ApiRequest(
        operation="get_token",
        method="GET",
        url=f"{base_url}/token",
        resend=Resend.SAFE,
        source="example.com/docs",
        key_parameter="ppt",
        paced=False,
    )


SIGN_IN = SignIn(request=sign_in_request, read_token=lambda seen: seen.json()["access_token"])


def token(text: str) -> Step:
    return answer(200, {"access_token": text})


def jwt(claims: Any) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


def asked(wire: Wire, resend: Resend = Resend.SAFE, **rest: Any) -> ApiRequest:
    return replace(request(resend, **rest), url=f"{wire.url}/thing")


def bearers(wire: Wire) -> list[str | None]:
    """Whose request was sent with what; None for the sign-in, which has the key in its query."""
    return [seen.headers.get("authorization") for seen in wire.requests]


@pytest.mark.parametrize("resend", list(Resend))
def test_the_key_is_exchanged_once_and_every_request_carries_the_token(
    transport: Make, resend: Resend
) -> None:
    with Wire(token("first-token"), DONE) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        for _ in range(3):
            assert sender.send(asked(wire, resend)).json() == {"done": True}
    assert wire.requests[0].target == f"/token?ppt={QUOTED}"
    assert bearers(wire) == [None, *["Bearer first-token"] * 3]
    assert KEY not in str([seen.headers for seen in wire.requests])
    assert all("ppt" not in seen.target for seen in wire.requests[1:])


BILLED = pytest.mark.parametrize("resend", [Resend.NEVER, Resend.REPLAYS])
FIRST, SECOND = "Bearer first-token", "Bearer second-token"


def test_a_safe_request_refused_for_its_token_goes_out_once_more_with_a_new_one(
    transport: Make,
) -> None:
    with Wire(token("first-token"), DONE, DENIED, token("second-token"), DONE) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.send(asked(wire))
        assert sender.send(asked(wire)).json() == {"done": True}
    assert bearers(wire) == [None, FIRST, FIRST, None, SECOND]
    assert wire.requests[2].body == wire.requests[4].body


@BILLED
def test_a_billed_request_refused_for_its_token_goes_out_once_and_the_next_has_a_new_one(
    transport: Make, resend: Resend
) -> None:
    with Wire(token("first-token"), DONE, DENIED, token("second-token"), DONE) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.send(asked(wire, resend))
        with pytest.raises(ProviderUnavailable, match="the access token has ended") as caught:
            sender.send(asked(wire, resend))
        assert (caught.value.status, bearers(wire)) == (401, [None, FIRST, FIRST])
        sender.take_turn(Purpose.SUBMIT)
        assert sender.send(asked(wire, resend)).json() == {"done": True}
    assert bearers(wire) == [None, FIRST, FIRST, None, SECOND]


@BILLED
def test_a_token_that_was_never_taken_may_have_ended_all_the_same(
    transport: Make, clock: ManualClock, resend: Resend
) -> None:
    with Wire(token("first-token"), DENIED, token("second-token"), DENIED) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.take_turn(Purpose.SUBMIT)
        clock.advance(3600)
        with pytest.raises(ProviderUnavailable, match="the access token has ended"):
            sender.send(asked(wire, resend))
        with pytest.raises(AccountRejected):
            sender.send(asked(wire, resend))
    assert bearers(wire) == [None, FIRST, None, SECOND]


@BILLED
def test_a_billed_request_that_a_status_refused_shows_that_its_token_was_taken(
    transport: Make, resend: Resend
) -> None:
    with Wire(token("first-token"), answer(400, {}), DENIED) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        with pytest.raises(RequestRejected):
            sender.send(asked(wire, resend))
        with pytest.raises(ProviderUnavailable, match="the access token has ended"):
            sender.send(asked(wire, resend))


def test_a_safe_request_is_never_refused_more_than_twice(transport: Make) -> None:
    with Wire(token("first-token"), DONE, DENIED, token("second-token"), DENIED) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.send(asked(wire))
        with pytest.raises(AccountRejected) as caught:
            sender.send(asked(wire))
    assert caught.value.operation == "do_thing"
    assert len(wire.requests) == 5


def test_a_token_that_is_refused_as_it_was_fetched_is_not_replaced(transport: Make) -> None:
    with Wire(token("first-token"), DENIED) as wire, pytest.raises(AccountRejected):
        transport(wire.url, sign_in=SIGN_IN).send(asked(wire, Resend.NEVER))
    assert len(wire.requests) == 2


@pytest.mark.parametrize("status", [402, 403])
def test_only_a_refusal_that_names_the_token_is_cured_by_another(
    transport: Make, status: int
) -> None:
    with Wire(token("first-token"), DONE, answer(status, {})) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.send(asked(wire))
        with pytest.raises(AccountRejected):
            sender.send(asked(wire))
    assert len(wire.requests) == 3


def test_a_refusal_in_words_counts_where_the_provider_says_so(transport: Make) -> None:
    def read(seen: ApiAnswer) -> ErrorBody:
        return ErrorBody(code=seen.json()["error"])

    spoken = replace(SIGN_IN, refusals=frozenset({"ended"}))
    refused = answer(403, {"error": "ended"})
    with Wire(token("first-token"), DONE, refused, token("second-token"), DONE) as wire:
        sender = transport(wire.url, sign_in=spoken)
        for _ in range(2):
            sender.send(asked(wire, read_error=read))
    assert bearers(wire)[-1] == "Bearer second-token"


@BILLED
def test_words_alone_cure_no_billed_request(transport: Make, resend: Resend) -> None:
    spoken = replace(SIGN_IN, refusals=frozenset({"ended"}))
    refused = answer(403, {"error": "ended"})
    with Wire(token("first-token"), DONE, refused) as wire:
        sender = transport(wire.url, sign_in=spoken)
        sender.send(asked(wire))
        with pytest.raises(AccountRejected):
            sender.send(
                asked(wire, resend, read_error=lambda seen: ErrorBody(code=seen.json()["error"]))
            )


def test_a_lost_answer_to_a_paid_request_is_no_reason_to_sign_in_again(transport: Make) -> None:
    with Wire(token("first-token"), hang_up) as wire, pytest.raises(SubmitOutcomeUnknown):
        transport(wire.url, sign_in=SIGN_IN).send(asked(wire, Resend.NEVER))
    assert len(wire.requests) == 2


@pytest.mark.parametrize("resend", [Resend.SAFE, Resend.NEVER])
@pytest.mark.parametrize(
    ("step", "error"),
    [
        (answer(401, {}), AccountRejected),
        (answer(403, ""), AccountRejected),
        (answer(400, {}), AccountRejected),
        (answer(404, {}), AccountRejected),
        (answer(302, "", location="/login"), AccountRejected),
        (answer(429, "", retry_after="7"), RateLimited),
        (answer(500, ""), ProviderUnavailable),
        (answer(200, "<html>"), ProviderUnavailable),
        (answer(200, {}), ProviderUnavailable),
        (answer(200, []), ProviderUnavailable),
        (token(""), ProviderUnavailable),
        (token("with blank"), ProviderUnavailable),
        (token("line\nbreak"), ProviderUnavailable),
        (token("x" * 20_000), ProviderUnavailable),
        (answer(200, {"access_token": 7}), ProviderUnavailable),
        (answer(200, b" " * (16 * 1024 * 1024 + 1)), ProviderUnavailable),
        (hang_up, ProviderUnavailable),
    ],
)
def test_without_a_token_nothing_was_sent_and_nothing_is_unknown(
    transport: Make, step: Step, error: type[ProviderError], resend: Resend
) -> None:
    with Wire(step) as wire, pytest.raises(error) as caught:
        transport(wire.url, sign_in=SIGN_IN, retry=RetryBudget(attempts=2)).send(
            asked(wire, resend)
        )
    assert caught.value.operation == "get_token"
    assert {seen.target for seen in wire.requests} == {f"/token?ppt={QUOTED}"}
    again = resend is Resend.SAFE and issubclass(error, ProviderUnavailable)
    assert len(wire.requests) == (2 if again else 1)


def test_a_missing_key_is_an_error_before_anything_is_sent(transport: Make) -> None:
    with Wire() as wire:
        sender = transport(wire.url, sign_in=SIGN_IN, secret=Secret(""))
        with pytest.raises(AccountRejected, match="no API key"):
            sender.send(asked(wire, Resend.NEVER))
        with pytest.raises(ConfigurationError, match="no API key"):
            sender.send(asked(wire))
    assert wire.connections == 0


def test_a_turn_to_submit_brings_the_token_along_and_no_error(transport: Make) -> None:
    with Wire(answer(500, ""), token("first-token"), DONE) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.take_turn(Purpose.POLL)
        assert wire.requests == []
        sender.take_turn(Purpose.SUBMIT)
        sender.take_turn(Purpose.SUBMIT)
        assert len(wire.requests) == 2
        sender.send(asked(wire, Resend.NEVER))
    assert bearers(wire) == [None, None, "Bearer first-token"]


def test_a_sign_in_told_to_wait_is_not_repeated(transport: Make, clock: ManualClock) -> None:
    with Wire(answer(429, {}, retry_after="7"), token("a-token"), DONE) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.take_turn(Purpose.SUBMIT)
        with pytest.raises(RateLimited):
            sender.send(asked(wire, Resend.NEVER))
        assert bearers(wire) == [None]
        clock.advance(7)
        sender.send(asked(wire, Resend.NEVER))
    assert bearers(wire) == [None, None, "Bearer a-token"]


def test_neither_key_nor_token_leaves_for_a_foreign_host_and_none_is_fetched_for_it(
    transport: Make,
) -> None:
    with Wire(token("first-token"), DONE) as api, Wire(answer(200, b"png")) as other:
        sender = transport(api.url, sign_in=SIGN_IN)
        foreign = replace(request(), url=f"{other.url}/x.png")
        sender.send(foreign)
        with sender.open(foreign, max_bytes=10) as download:
            assert download.read() == b"png"
        sender.send(replace(request(authenticated=False), url=f"{api.url}/open"))
        assert api.requests[0].target == "/open"
    assert bearers(api) == [None]
    assert bearers(other) == [None, None]


def test_a_way_back_from_a_foreign_host_carries_neither(transport: Make) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(Wire(answer(200, b"png")))
        back = answer(302, b"", location=f"{api.url}/own.png")
        other = stack.enter_context(Wire(back))
        foreign = replace(request(), url=f"{other.url}/x.png")
        sender = transport(api.url, sign_in=SIGN_IN)
        download = stack.enter_context(sender.open(foreign, max_bytes=10))
        assert download.read() == b"png"
        assert [seen.target for seen in api.requests] == ["/own.png"]
        assert bearers(api) == [None]


def test_a_download_from_an_own_origin_carries_the_token_and_renews_it(transport: Make) -> None:
    steps = (token("first-token"), DONE, DENIED, token("second-token"), answer(200, b"png"))
    with Wire(*steps) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.send(asked(wire))
        with sender.open(asked(wire), max_bytes=10) as download:
            assert download.read() == b"png"
    assert bearers(wire)[-1] == "Bearer second-token"


@pytest.mark.parametrize("resend", list(Resend))
def test_no_error_and_no_log_line_shows_key_or_token(
    transport: Make, caplog: pytest.LogCaptureFixture, resend: Resend
) -> None:
    caplog.set_level(logging.DEBUG)
    told = answer(401, f"{KEY} {QUOTED} secret-one secret-two bearer secret-one")
    said = {"read_error": lambda seen: ErrorBody(message=seen.body.decode())}
    with Wire(token("secret-one"), DONE, told, token("secret-two"), told) as wire:
        sender = transport(wire.url, sign_in=SIGN_IN)
        sender.send(asked(wire, resend))
        if resend is not Resend.SAFE:
            with pytest.raises(ProviderUnavailable):
                sender.send(asked(wire, resend, **said))
        with pytest.raises(AccountRejected) as caught:
            sender.send(asked(wire, resend, **said))
    shown, chain = caplog.text + repr(vars(sender)), caught.value.with_traceback(None)
    link: BaseException | None = chain
    while link is not None:
        shown += "".join(traceback.format_exception(link)) + repr(vars(link))
        link = link.__context__
    assert "urllib3" in caplog.text
    for secret in (KEY, QUOTED, "secret-one", "secret-two"):
        assert secret not in shown


def test_a_jwt_is_masked_wherever_it_stands() -> None:
    text = f"Node 7 got 'authorization: {jwt({'sub': 'me'})}'; see eyJ.md"
    assert redact(text) == "Node 7 got 'authorization: ***'; see eyJ.md"
