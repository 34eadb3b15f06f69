"""What Comflowy posts when a run gets somewhere. It signs nothing.

So nothing here can be verified: that the address it was posted to holds a token that nobody can
guess was verified before, and what a callback claims is confirmed with `check` afterwards.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.providers.comflowy.records import ProgressPayload, ResultPayload

MAX_BYTES = 256 * 1024
"""Far more than a result with hundreds of links has."""
_KINDS: dict[str, type[ResultPayload | ProgressPayload]] = {
    **dict.fromkeys(("success", "failed"), ResultPayload),
    **dict.fromkeys(("waiting", "pending", "running", "message"), ProgressPayload),
}


def read_payload(body: bytes) -> ResultPayload | ProgressPayload:
    """Read what was posted to one of the `callback_urls`.

    Source: comflowy.com/blog/comflowy-api. Raises: CallbackRefused.
    """
    if len(body) > MAX_BYTES:
        raise CallbackRefused(f"it is longer than {MAX_BYTES} bytes")
    document = _document(body)
    event = document.get("type") if isinstance(document, dict) else None
    kind = _KINDS.get(event) if isinstance(event, str) else None
    if kind is None:
        raise CallbackRefused("it is no object with a type that Comflowy documents")
    try:
        return kind.model_validate(document)
    except (ValidationError, RecursionError):
        pass
    # Outside the `except`: pydantic's own error holds what was sent.
    raise CallbackRefused("it is a result whose run id or outputs are missing or unusable")


def read_callback(request: CallbackRequest) -> Callback:
    """Read a callback of a run; progress names no run, and only a result says that it has ended.

    Raises: CallbackRefused.
    """
    payload = read_payload(request.body)
    if isinstance(payload, ResultPayload):
        return Callback(provider_run_id=payload.run_id, ended=True)
    return Callback(provider_run_id=None)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
