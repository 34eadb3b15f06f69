"""FLORA's lists, which come in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import AnsweredRequest, ApiClient
from flow_pipelines.provider.records import Record
from flow_pipelines.providers.flora.calls import API, given

PAGE_ITEMS, MAX_PAGES = 100, 100
"""A page is the most that FLORA gives at once; the number of pages is a bound of ours."""

R = TypeVar("R", bound=Record)


class PagingClient(ApiClient):
    """The base of FLORA's client."""

    api = API

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
        plural = path[1:].replace("-", "_")
        for page in self._pages(operation, path, params):
            for item in page.objects(plural, "runs"):
                if not needs or any(read.identifier(item.get(name)) for name in needs):
                    yield page.read(kind, item)

    def _pages(
        self, operation: str, path: str, params: Mapping[str, str]
    ) -> Iterator[AnsweredRequest]:
        """Follow `meta.next_cursor`: to its end, or for `MAX_PAGES`."""
        cursor = None
        for _ in range(MAX_PAGES):
            page = {**params, "limit": str(PAGE_ITEMS), **given(cursor=cursor)}
            reply = self._call(operation, "GET", path, params=page)
            yield reply
            meta = read.members(reply.document().get("meta"))
            cursor = read.text(meta.get("next_cursor"))
            if cursor in (None, page.get("cursor")):
                return
