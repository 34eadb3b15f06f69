"""What all calls of FloImg's client share: sending, reading, and what is left of the limit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Quota,
    Transport,
    expect_object,
    read_record,
)
from flow_pipelines.providers.floimg.calls import NAME, Method, api_request, read_quota
from flow_pipelines.providers.floimg.listings import Listing, Page, read_page
from flow_pipelines.providers.floimg.records import FloImgRecord, Kept, RateLimitState

R = TypeVar("R", bound=FloImgRecord)
K = TypeVar("K", bound=Kept)


class Sender:
    """Sends requests to one account. Opens no connection itself; safe to share between threads."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        """`base_url` is the API's address, its version included."""
        self._transport, self._base_url = transport, base_url.rstrip("/")
        self._rate_limit: RateLimitState | None = None

    def rate_limit(self) -> RateLimitState | None:
        """Return what the latest answer said of the rate limit, errors included. Asks nothing.

        None: no answer said anything yet. Whoever else uses the key is counted there, too; this
        project keeps to the limit by itself. Source: floimg-web docs/api/rate-limits.
        """
        return self._rate_limit

    def _note_quota(self, answer: ApiAnswer) -> Quota:
        quota = read_quota(answer)
        limit = None
        with suppress(LookupError, ValueError):
            limit = int(answer.headers["x-ratelimit-limit"])
        self._rate_limit = RateLimitState(
            limit=limit, remaining=quota.remaining, resets_at=quota.resets_at
        )
        return quota

    def _send(
        self, operation: str, method: Method, path: str, **declared: Any
    ) -> tuple[ApiRequest, ApiAnswer]:
        request = self._request(operation, method, path, **declared)
        return request, self._transport.send(request)

    def _request(self, operation: str, method: Method, path: str, **declared: Any) -> ApiRequest:
        # The transport shows it every answer, before it raises for one.
        declared["read_quota"] = self._note_quota
        return api_request(operation, method, f"{self._base_url}{path}", **declared)

    def _listing(
        self, kind: type[K], operation: str, path: str, name: str, asked: Mapping[str, Any]
    ) -> Listing[K]:
        """List `{<name>: […]}` at `path`, beginning at the `offset` that is asked for, if any."""
        first = {key: str(value) for key, value in asked.items() if value is not None}
        start = int(first.get("offset", 0))

        def ask(offset: int) -> Page[K]:
            params = first if offset == start else {**first, "offset": str(offset)}
            request, answer = self._send(operation, "GET", path, params=params)
            return read_page(kind, request, answer, name, offset)

        return Listing(operation, ask, start)


def read_one(
    kind: type[R], request: ApiRequest, answer: ApiAnswer, wrapped_in: str | None = None
) -> R:
    """Read the one thing that `answer` is, or has under `wrapped_in` where that is an object."""
    document = expect_object(NAME, request, answer)
    inner = read.members(document.get(wrapped_in)) if wrapped_in else {}
    return read_record(kind, NAME, request, answer, inner or document)
