"""Lumen's callbacks: who may send one, what it says, and the suite of every provider's."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.redaction import Secret
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.fifth_provider.lumen import read_callback
from flow_pipelines_tests.webhooks.test_end_to_end import *  # noqa: F403 - every test
from flow_pipelines_tests.webhooks.test_end_to_end import clock, sandbox  # noqa: F401 - fixtures
from flow_pipelines_tests.webhooks.webhook_harness import WebhookHarness

SECRET = "lumen_signing_secret_0001"


@pytest.fixture
def webhook_harness(
    sandbox: Sandbox,  # noqa: F811 - pytest's way to ask for a fixture
    clock: ManualClock,  # noqa: F811 - likewise
    tmp_path: Path,
) -> Iterator[WebhookHarness]:
    """A night at Lumen, in the place of one at each registered provider."""
    sandbox.reset()
    clock.advance(120)
    with WebhookHarness("lumen", sandbox, clock, tmp_path) as webhook_harness:
        yield webhook_harness


def sent(age_seconds: float = 0.0, secret: str = SECRET, **changes: Any) -> CallbackRequest:
    now = ManualClock().now()
    at = changes.pop("sent", now.isoformat())
    body = json.dumps({"event": "evt_1", "job": "job_1", "phase": "done", **changes}).encode()
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return CallbackRequest(
        headers={"lumen-sent": at, "lumen-signature": digest},
        body=body,
        secrets=[Secret(SECRET)],
        now=now + timedelta(seconds=age_seconds),
    )


@pytest.mark.parametrize(
    ("phase", "ended"), [("done", True), ("broken", True), ("stopped", True), ("working", False)]
)
def test_a_signed_callback_says_whether_its_job_has_ended(phase: str, ended: bool) -> None:
    expected = Callback(provider_run_id="job_1", event_id="evt_1", ended=ended)
    assert read_callback(sent(phase=phase)) == expected


@pytest.mark.parametrize(
    "request_", [sent(secret="another"), sent(301), sent(-301), sent(sent=""), sent(sent="now")]
)
def test_a_callback_of_somebody_else_or_another_time_is_refused(request_: CallbackRequest) -> None:
    with pytest.raises(CallbackRefused):
        read_callback(request_)
