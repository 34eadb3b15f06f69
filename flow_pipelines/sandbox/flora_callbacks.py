"""FLORA's webhooks: one signed message when a run has ended, four attempts to deliver it.

Its documentation leaves open whether a later attempt is signed anew. It has to be: the last one
comes six minutes after the first, and a signature is good for five.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flow_pipelines.sandbox.flora_words import WORKSPACE, is_public_https, ms
from flow_pipelines.sandbox.life import Run, RunState, new_id
from flow_pipelines.sandbox.world import World

_API_VERSION = "2026-06-11"
_PAUSES_SECONDS = (10.0, 60.0, 300.0)
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


def is_callback_url(url: Any) -> bool:
    """Return whether a run may be told to this address: a public one, or one beside the sandbox."""
    if is_public_https(url):
        return True
    try:
        return isinstance(url, str) and urlsplit(url).hostname in _THIS_MACHINE
    except ValueError:
        return False


def call_back(world: World, run: Run, url: str) -> None:
    """Tell `url` of the end of `run`, when it comes."""
    event_id = new_id("whd_")

    def write() -> tuple[bytes, Mapping[str, str]]:
        state = run.state(world.now())
        event = "run.completed" if state is RunState.SUCCEEDED else "run.failed"
        return _body(run, event_id, event, world.now()), {
            "Content-Type": "application/json",
            "Flora-Webhook-Id": event_id,
            "Flora-Event": event,
        }

    def sign(body: bytes) -> Mapping[str, str]:
        return {"Flora-Signature": signature(world, body)}

    pauses = [seconds / world.tuning.time_scale for seconds in _PAUSES_SECONDS]
    world.call_back(run, url, write, pauses, sign)


def signature(world: World, body: bytes) -> str:
    """Sign with every secret in force, newest first; a secret is used whole, as it is."""
    at = str(int(world.now()))
    signed = f"{at}.".encode() + body
    secrets = world.tuning.flora_webhook_secrets
    digests = [hmac.new(one.encode(), signed, hashlib.sha256).hexdigest() for one in secrets]
    return ",".join([f"t={at}", *(f"v1={digest}" for digest in digests)])


def _body(run: Run, event_id: str, event: str, now: float) -> bytes:
    data: dict[str, Any] = {
        "run_id": run.id,
        "run_type": "technique",
        "workspace_id": WORKSPACE,
        "status": event.partition(".")[2],
    }
    if run.error_code:
        data["error_code"] = run.error_code
        data["error_message"] = f"The run failed: {run.error_code}."
    message = {
        "id": event_id,
        "type": event,
        "api_version": _API_VERSION,
        "created_at": ms(now),
        "data": data,
    }
    return json.dumps(message, separators=(",", ":")).encode()
