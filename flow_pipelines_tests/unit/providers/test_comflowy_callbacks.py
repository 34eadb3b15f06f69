"""What Comflowy posts by itself: read strictly, believed in nothing but that it is worth a look."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.providers import profile
from flow_pipelines.providers.comflowy.callbacks import MAX_BYTES, read_payload
from flow_pipelines.providers.comflowy.records import ProgressPayload, ResultPayload
from flow_pipelines_tests.unit.providers.comflowy_harness import RUN, SAMPLES

LINK = "https://images.comflowy.com/a.png?Signature=abc"


def posted(case: str, **changes: Any) -> bytes:
    body = json.loads((SAMPLES / f"{case}.json").read_text())["body"]
    return json.dumps({**body, **changes}).encode()


def read(body: bytes) -> Callback:
    reader = profile("comflowy").read_callback
    assert reader is not None
    now = datetime(2026, 11, 22, tzinfo=UTC)
    return reader(CallbackRequest(headers={}, body=body, secrets=(), now=now))


@pytest.mark.parametrize("case", ["callback_success", "callback_failed"])
def test_a_result_names_its_run_and_says_that_it_has_ended(case: str) -> None:
    assert read(posted(case)) == Callback(provider_run_id=RUN, ended=True)


@pytest.mark.parametrize("word", ["waiting", "pending", "running", "message"])
@pytest.mark.parametrize("payload", [None, {}, [1], "half", 0.5])
def test_progress_names_no_run_and_ends_none(word: str, payload: object) -> None:
    body = posted("callback_progress", type=word, payload=payload)
    assert read(body) == Callback(provider_run_id=None)


def test_callbacks_are_not_signed() -> None:
    assert profile("comflowy").callback_secret_variable is None


@pytest.mark.parametrize(("run_id", "known"), [(7, "7"), ("run:1.a/b", "run:1.a/b")])
def test_a_run_is_known_as_its_receipt_knows_it(run_id: object, known: str) -> None:
    assert read(posted("callback_success", run_id=run_id)).provider_run_id == known


def test_what_is_posted_can_be_read_in_full() -> None:
    result, progress = (read_payload(posted(f"callback_{it}")) for it in ("success", "progress"))
    assert isinstance(result, ResultPayload)
    assert list(result.full_outputs) == ["9"]
    assert result.full_outputs["9"].images == result.output_images
    assert "images.comflowy.com" not in repr(result)
    assert isinstance(progress, ProgressPayload)
    assert progress.payload == {"node": "3", "value": 7, "max": 20}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff",
        b'{"type":"success"',
        b"[" * 100_000,
        b'{"type":' + b"9" * 5000 + b"}",
        b"{}",
        posted("callback_success", type="done"),
        posted("callback_success", type=["success"]),
        posted("callback_success", type=None),
        *(posted("callback_success", run_id=bad) for bad in (None, "", "a b", "x" * 201, True, {})),
        posted("callback_success", output_images={"a": LINK}),
    ],
)
def test_nonsense_is_refused_and_not_repeated(body: bytes) -> None:
    with pytest.raises(CallbackRefused) as caught:
        read(body)
    assert "Signature" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_body_of_any_length_is_not_even_parsed() -> None:
    body = posted("callback_success", error="x" * MAX_BYTES)
    with pytest.raises(CallbackRefused, match="longer than"):
        read(body)
