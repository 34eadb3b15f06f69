"""How FLORA's stand-in words its answers: paths, errors, pages, times."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flow_pipelines.sandbox.life import new_id
from flow_pipelines.sandbox.wire import Answer, Ask, Refused, json_answer, json_object

API = "/flora/api/v1"
MEDIA = "/flora-media"
UPLOADS = "/flora-uploads"
WORKSPACE = "ws_sandbox0001"
Problem = tuple[str, str]
"""Field and message."""

CODES = {
    400: "input_validation_error",
    401: "invalid_api_key",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    429: "rate_limited",
    500: "unknown_error",
    503: "service_unavailable",
}
_LIMIT_DEFAULT, _LIMIT_MAX = 20, 100


def error(status: int, message: str, code: str = "", **more: Any) -> Answer:
    """Answer with an error; `code` only where the status has several."""
    code = code or CODES.get(status, "unknown_error")
    return json_answer({"error": {"code": code, "message": message, **more}}, status)


def refused(status: int, message: str) -> Refused:
    """Return an error that ends the handling of a request."""
    return Refused(error(status, message))


def invalid(problems: Sequence[Problem]) -> Refused:
    """Refuse a request that is not as documented, field by field."""
    fields = [{"field": field, "message": message} for field, message in problems]
    return Refused(error(400, "The request is not valid.", fields=fields))


def body_of(ask: Ask) -> dict[str, Any]:
    """Return the JSON object that a request has to have. Raises: Refused."""
    body = json_object(ask)
    if body is None:
        raise Refused(error(400, "The body is not a JSON object.", "invalid_json"))
    return body


def named(answer: Answer) -> Answer:
    """Name an answer, as FLORA names every one."""
    return replace(answer, headers={**answer.headers, "request-id": new_id("req_")})


def check_workspace(name: Any) -> None:
    """Refuse a workspace that is not the key's."""
    if name != WORKSPACE:
        raise refused(403, "The key does not belong to this workspace.")


def page(ask: Ask, names: Sequence[str]) -> tuple[slice, dict[str, str | None]]:
    """Cut a list; a cursor is the name of the last item of the page before. Raises: Refused."""
    limit, cursor = ask.query.get("limit", str(_LIMIT_DEFAULT)), ask.query.get("cursor")
    if not limit.isdecimal() or not 1 <= int(limit) <= _LIMIT_MAX:
        raise refused(400, f"limit is 1 to {_LIMIT_MAX}")
    if cursor is not None and cursor not in names:
        raise refused(400, "cursor is not one of ours")
    start = 0 if cursor is None else names.index(cursor) + 1
    end = start + int(limit)
    return slice(start, end), {"next_cursor": names[end - 1] if end < len(names) else None}


def ms(at: float) -> int:
    """Return Unix seconds as FLORA gives most times."""
    return int(at * 1000)


def iso(at: float) -> str:
    """Return Unix seconds as FLORA gives some times."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def is_public_https(url: Any) -> bool:
    """Return whether FLORA would go to an address."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        host = parts.hostname if parts else None
    except ValueError:
        return False
    if parts is None or not host or parts.scheme != "https":
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))
