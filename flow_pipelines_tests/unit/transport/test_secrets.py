"""The key goes to its own provider and nowhere else: no other host, no log, no exception."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flow_pipelines.model.errors import ProviderError
from flow_pipelines.provider import ErrorBody, Resend
from flow_pipelines.transport import HttpTransport, RetryBudget
from flow_pipelines_tests.unit.transport.conftest import KEY, request
from flow_pipelines_tests.unit.transport.wire import Wire, answer, hang_up, raw

Make = Callable[..., HttpTransport]
QUOTED = "flo_Key%2B%2FWith%3DSigns0001"


def test_the_key_goes_to_every_own_origin_and_to_no_other(transport: Make) -> None:
    with Wire() as api, Wire() as files, Wire() as other:
        sender = transport(api.url, origins=[api.url, files.url])
        for wire in (api, files, other):
            sender.send(replace(request(headers={"X-Token": "t"}), url=f"{wire.url}/x"))
        sender.send(replace(request(authenticated=False), url=f"{api.url}/x"))
    assert api.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert files.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in other.requests[0].headers
    assert "x-token" not in other.requests[0].headers
    assert "authorization" not in api.requests[1].headers


def test_a_key_in_the_query_goes_to_the_own_origin_only(transport: Make) -> None:
    with Wire() as api, Wire() as other:
        for wire in (api, other):
            question = replace(request(key_parameter="ppt"), url=f"{wire.url}/token")
            transport(api.url).send(question)
    assert api.requests[0].target == f"/token?ppt={QUOTED}"
    assert "authorization" not in api.requests[0].headers
    assert other.requests[0].target == "/token"


def test_a_netrc_file_adds_no_login(
    transport: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password elses\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Wire() as wire:
        transport(wire.url).send(replace(request(), url=f"{wire.url}/x"))
        transport(wire.url).send(replace(request(authenticated=False), url=f"{wire.url}/x"))
    assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in wire.requests[1].headers


def test_a_stand_in_on_this_machine_is_reached_past_any_proxy(
    transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire() as wire, Wire() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        transport(wire.url).send(replace(request(), url=f"{wire.url}/x"))
    assert (len(wire.requests), len(proxy.requests)) == (1, 0)


@pytest.mark.parametrize("resend", list(Resend))
@pytest.mark.parametrize(
    "step",
    [
        hang_up,
        raw(b"garbage\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n"),
        answer(401, f"no such key: {KEY} ({QUOTED})"),
        answer(500, f"while reading ?ppt={QUOTED}&x=1"),
        answer(302, "", location=f"/login?token={QUOTED}"),
    ],
    ids=["hung up", "garbage", "broken header", "401", "500", "302"],
)
def test_no_error_and_no_log_line_shows_the_key(
    transport: Make, caplog: pytest.LogCaptureFixture, step: object, resend: Resend
) -> None:
    caplog.set_level(logging.DEBUG)

    def read(seen: object) -> ErrorBody:
        text = seen.body.decode()  # type: ignore[attr-defined]
        return ErrorBody(code=text, message=text, fields=[{"field": text, "more": [text]}])

    with Wire(step) as wire:
        asked = replace(
            request(resend, key_parameter="ppt", read_error=read), url=f"{wire.url}/token"
        )
        shown = ""
        try:
            transport(wire.url, retry=RetryBudget(attempts=2)).send(asked)
        except ProviderError as error:
            chain: BaseException | None = error
            while chain is not None:
                shown += "".join(traceback.format_exception(chain)) + repr(vars(chain))
                chain = chain.__context__
    assert wire.requests
    assert QUOTED in wire.requests[0].target
    for text in (shown, caplog.text):
        assert KEY not in text
        assert QUOTED not in text
    assert "urllib3" in caplog.text


def test_the_librarys_own_log_keeps_the_path_and_masks_the_query(
    transport: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Wire() as wire:
        transport(wire.url).send(replace(request(key_parameter="ppt"), url=f"{wire.url}/token"))
    assert '"GET /token?ppt=*** HTTP/1.1" 200' in caplog.text


def test_a_refused_connection_shows_no_key_either(
    transport: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Wire() as wire:
        pass
    asked = replace(request(Resend.NEVER, key_parameter="ppt"), url=f"{wire.url}/token")
    with pytest.raises(ProviderError) as caught:
        transport(wire.url).send(asked)
    text = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "Connection refused" in text
    assert KEY not in text
    assert QUOTED not in text
