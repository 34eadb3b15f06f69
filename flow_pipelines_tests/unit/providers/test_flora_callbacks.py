"""FLORA's webhooks: only what FLORA signed, and signed lately, is believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.providers.flora import PROFILE
from flow_pipelines.providers.flora.callbacks import read_callback, sign
from flow_pipelines.redaction import Secret

SECRET, OTHER = "whsec_test_0123456789abcdef", "whsec_test_fedcba9876543210"
AT = 1_750_000_000
BODY = (
    b'{"id":"whd_abc123","type":"run.completed","api_version":"2026-06-11",'
    b'"created_at":1750000000000,"data":{"run_id":"run_xyz789","run_type":"generation",'
    b'"workspace_id":"ws_abc123","status":"completed"}}'
)
SIGNATURE = "c2acf1c3e9bf6edfea8189337cf7f57bc91e440b7d781a49ca377110239cd8fe"
"""Of the constants in the SDK's own tests."""


def signed(body: bytes = BODY, secret: str = SECRET, at: int = AT) -> str:
    return f"t={at},v1={sign(Secret(secret), str(at), body).decode()}"


def posted(
    header: str | None,
    *,
    body: bytes = BODY,
    secrets: Sequence[str] = (SECRET,),
    seconds_later: float = 0,
) -> Callback:
    return read_callback(
        CallbackRequest(
            headers={} if header is None else {"flora-signature": header},
            body=body,
            secrets=[Secret(one) for one in secrets],
            now=datetime.fromtimestamp(AT + seconds_later, UTC),
        )
    )


def test_the_published_vector_is_read() -> None:
    assert PROFILE.read_callback is read_callback
    found = posted(f"t={AT},v1={SIGNATURE}")
    assert found == Callback(provider_run_id="run_xyz789", event_id="whd_abc123", ended=True)


def test_the_key_is_the_whole_secret() -> None:
    assert sign(Secret(SECRET), str(AT), BODY).decode() == SIGNATURE
    bare = sign(Secret(SECRET.removeprefix("whsec_")), str(AT), BODY).decode()
    with pytest.raises(CallbackRefused, match="no signature fits"):
        posted(f"t={AT},v1={bare}")


@pytest.mark.parametrize("seconds", [-300, -1, 0, 299.5, 300])
def test_a_signature_is_good_for_five_minutes_either_way(seconds: float) -> None:
    assert posted(signed(), seconds_later=seconds).ended


@pytest.mark.parametrize("seconds", [-301, 300.5, 86_400])
def test_an_old_one_is_refused_and_so_is_one_of_the_future(seconds: float) -> None:
    with pytest.raises(CallbackRefused, match="too old"):
        posted(signed(), seconds_later=seconds)


@pytest.mark.parametrize(
    "header",
    [
        f"t={AT},v1={'0' * 64},v1={SIGNATURE}",
        f"t={AT},v1={SIGNATURE},v1={'0' * 64}",
        f"v1={SIGNATURE}, t={AT}",
        f"t={AT},v0=old,v1={SIGNATURE}",
    ],
)
def test_one_signature_of_several_is_enough(header: str) -> None:
    assert posted(header).provider_run_id == "run_xyz789"


@pytest.mark.parametrize("secrets", [(SECRET, OTHER), (OTHER, SECRET), ("", SECRET)])
def test_one_secret_of_several_is_enough(secrets: Sequence[str]) -> None:
    assert posted(signed(), secrets=secrets).ended


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"v1={SIGNATURE}",
        f"t={AT}",
        f"t={AT},v1=",
        f"t={AT},v0={SIGNATURE}",
        f"t={AT}.0,v1={SIGNATURE}",
        f"t=-{AT},v1={SIGNATURE}",
        f"t=,v1={SIGNATURE}",
        f"t={AT},t={AT},v1={SIGNATURE}",
        f"t={AT + 1},v1={SIGNATURE}",
        f"t={AT},v1={SIGNATURE.upper()}",
        f"t={AT},v1={SIGNATURE[:-1]}",
        f"t={AT},v1=é",
        f"t={AT},v1=\udc80",
        f"t=\u0661750000000,v1={SIGNATURE}",
        f"t={AT}" + ",v1=0" * 17,
        SIGNATURE,
    ],
)
def test_a_header_that_proves_nothing_is_refused(header: str | None) -> None:
    with pytest.raises(CallbackRefused):
        posted(header)


@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b"completed", b"failed"), b"", b"{}"])
def test_a_body_that_was_changed_on_the_way_is_refused(body: bytes) -> None:
    with pytest.raises(CallbackRefused, match="no signature fits"):
        posted(signed(), body=body)


@pytest.mark.parametrize("secrets", [(), ("",), (OTHER,)])
def test_without_the_secret_nothing_is_believed(secrets: Sequence[str]) -> None:
    with pytest.raises(CallbackRefused) as caught:
        posted(signed(), secrets=secrets)
    assert SECRET not in str(caught.value)


def event(**changes: Any) -> Callback:
    body = json.dumps({**json.loads(BODY), **changes}).encode()
    return posted(signed(body), body=body)


@pytest.mark.parametrize(
    ("kind", "ended"),
    [("run.completed", True), ("run.failed", True), ("run.paused", False), (7, False), ([], False)],
)
def test_only_the_two_documented_events_say_that_a_run_has_ended(kind: object, ended: bool) -> None:
    assert event(type=kind).ended is ended


@pytest.mark.parametrize("data", [None, [], {}, {"run_id": 7}, {"run_id": "../x"}], ids=str)
def test_a_run_that_it_does_not_name_is_told_by_the_address(data: object) -> None:
    assert event(data=data).provider_run_id is None


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"\xff", b"[" * 50_000])
def test_what_is_signed_but_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(CallbackRefused, match="not what FLORA sends"):
        posted(signed(body), body=body)
