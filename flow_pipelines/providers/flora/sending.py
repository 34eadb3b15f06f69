"""How FLORA's calls are sent and their answers read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Record,
    Transport,
    expect_object,
    expect_objects,
    read_record,
)
from flow_pipelines.providers.flora.calls import NAME, Method, given, make_request

PAGE_ITEMS, MAX_PAGES = 100, 100
"""A page is the most that FLORA gives at once; the number of pages is a bound of ours."""

R = TypeVar("R", bound=Record)
Page = tuple[ApiRequest, ApiAnswer, Sequence[Mapping[str, Any]]]


class FloraCalls:
    """Requests to one base URL, through one transport."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        self._transport, self._base_url = transport, base_url.rstrip("/")

    def _send(
        self, operation: str, method: Method, path: str, **declared: Any
    ) -> tuple[ApiRequest, ApiAnswer]:
        request = make_request(operation, method, f"{self._base_url}{path}", **declared)
        return request, self._transport.send(request)

    def _one(self, kind: type[R], operation: str, method: Method, path: str, **declared: Any) -> R:
        """Send a request and read the one thing in its answer."""
        request, answer = self._send(operation, method, path, **declared)
        return read_record(kind, NAME, request, answer, expect_object(NAME, request, answer))

    def _every(
        self,
        kind: type[R],
        operation: str,
        path: str,
        params: Mapping[str, str],
        *,
        needs: Sequence[str] = (),
    ) -> Iterator[R]:
        """Read a list, a page at a time; what has a usable id in none of `needs` is left out."""
        for request, answer, items in self._pages(operation, path, params):
            for item in items:
                if not needs or any(read.identifier(item.get(name)) for name in needs):
                    yield read_record(kind, NAME, request, answer, item)

    def _pages(self, operation: str, path: str, params: Mapping[str, str]) -> Iterator[Page]:
        """Follow `meta.next_cursor`: to its end, or for `MAX_PAGES`."""
        plural, cursor = path[1:].replace("-", "_"), None
        for _ in range(MAX_PAGES):
            page = {**params, "limit": str(PAGE_ITEMS), **given(cursor=cursor)}
            request, answer = self._send(operation, "GET", path, params=page)
            yield request, answer, expect_objects(NAME, request, answer, plural, "runs")
            meta = read.members(expect_object(NAME, request, answer).get("meta"))
            cursor = read.text(meta.get("next_cursor"))
            if cursor in (None, page.get("cursor")):
                return
