"""What FLORA posts to a run's `callback_url` when the run has ended, and the proof that it did.

Source: developer.flora.ai/platform/webhooks. Such a message holds no outputs and may come more
than once, or never.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flow_pipelines.model import json_values as read
from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.redaction import Secret

SIGNATURE_HEADER = "flora-signature"
TOLERANCE_SECONDS = 300.0
"""How far the time of a signature may be from ours, in either direction."""
ENDED_EVENTS = frozenset({"run.completed", "run.failed"})
_TIME = re.compile(r"[0-9]{1,12}")
_MOST_SIGNATURES = 16


def read_callback(request: CallbackRequest) -> Callback:
    """Verify and read a webhook; does no I/O. Raises: CallbackRefused.

    Any of the secrets may have made any of the signatures: both sides have two for a while when
    the secret is changed.
    """
    if not any(request.secrets):
        raise CallbackRefused("there is no secret to verify it with")
    at, signatures = _signatures(request.headers.get(SIGNATURE_HEADER, ""))
    expected = [sign(secret, at, request.body) for secret in request.secrets if secret]
    # Every pair is compared, so that the time it takes tells nothing.
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures]
    if not any(matches):
        raise CallbackRefused("no signature fits")
    if _age_seconds(at, request.now) > TOLERANCE_SECONDS:
        raise CallbackRefused("its signature is too old, or of the future")
    return _read(request.body)


def sign(secret: Secret, at: str, body: bytes) -> bytes:
    """Return the signature, as the header writes it, of `body` at `at` (Unix seconds).

    The key is the whole secret, `whsec_` included, as it is.
    """
    key = secret.reveal().encode()
    return hmac.new(key, at.encode() + b"." + body, hashlib.sha256).hexdigest().encode()


def _signatures(header: str) -> tuple[str, Sequence[bytes]]:
    """Take `t=…,v1=…[,v1=…]` apart; other schemes than `v1` are for others."""
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [
        value.encode("utf-8", "replace") for name, _, value in pairs if name == "v1" and value
    ]
    if len(times) != 1 or not _TIME.fullmatch(times[0]):
        raise CallbackRefused("it bears no signature")
    if not 0 < len(signatures) <= _MOST_SIGNATURES:
        raise CallbackRefused("it bears no signature")
    return times[0], signatures


def _age_seconds(at: str, now: datetime) -> float:
    return abs(now.timestamp() - int(at))


def _read(body: bytes) -> Callback:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise CallbackRefused("it is not what FLORA sends")
    return Callback(
        provider_run_id=read.identifier(read.members(document.get("data")).get("run_id")),
        event_id=read.identifier(document.get("id")),
        ended=read.text(document.get("type")) in ENDED_EVENTS,
    )
