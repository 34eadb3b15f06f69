"""What FloImg's calls share: lists in pages, and what is left of the rate limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import UnexpectedAnswer
from flow_pipelines.provider import (
    AnsweredRequest,
    ApiAnswer,
    ApiClient,
    ApiRequest,
    Method,
    Quota,
)
from flow_pipelines.providers.floimg.calls import API, NAME, read_quota
from flow_pipelines.providers.floimg.records import FloImgRecord, Kept

MOST_PAGES = 1000
"""Pages of one list; a list that goes on after that does not end."""

R = TypeVar("R", bound=FloImgRecord)
K = TypeVar("K", bound=Kept)


@dataclass(frozen=True, kw_only=True)
class Page(Generic[K]):
    """One page of a list."""

    items: tuple[K, ...]
    length: int
    """Entries of the page, those included that have no usable id and are not among `items`."""
    total: int | None
    """Entries of the whole list, where told."""
    has_more: bool


class Listing(Generic[K]):
    """A list at FloImg. Every loop over it asks anew, a page a request, as far as the loop goes.

    Raises, as the loop goes: ProviderError; UnexpectedAnswer for a list that does not end.
    """

    def __init__(self, operation: str, ask: Callable[[int], Page[K]], offset: int) -> None:
        """`ask` gives the page that begins at an offset, the first at `offset`."""
        self._operation, self._ask, self._offset = operation, ask, offset

    def __iter__(self) -> Iterator[K]:
        """Go through the entries, each once."""
        seen: set[str] = set()
        for page in self.pages():
            fresh = [item for item in page.items if item.id not in seen]
            if page.items and not fresh:
                return  # the same page again: whoever sends it knows no offset
            seen.update(item.id for item in fresh)
            yield from fresh

    def pages(self) -> Iterator[Page[K]]:
        """Go through the pages, each with what it says of the whole list."""
        offset = self._offset
        for _ in range(MOST_PAGES):
            page = self._ask(offset)
            yield page
            if not page.has_more or not page.length:
                return
            # Not by what was asked for: a page may be cut to fewer.
            offset += page.length
        why = f"the list does not end within {MOST_PAGES} pages"
        raise UnexpectedAnswer(why, provider=NAME, operation=self._operation)


class ListingClient(ApiClient):
    """The base of FloImg's client."""

    api = API
    _rate_limit: Quota | None = None

    def rate_limit(self) -> Quota | None:
        """Return what the latest answer said of the rate limit, errors included. Asks nothing.

        None: no answer said anything yet. Whoever else uses the key is counted there, too; this
        project keeps to the limit by itself. Source: floimg-web docs/api/rate-limits.
        """
        return self._rate_limit

    def _note_quota(self, answer: ApiAnswer) -> Quota:
        self._rate_limit = read_quota(answer)
        return self._rate_limit

    def _request(self, operation: str, method: Method, path: str, **declared: Any) -> ApiRequest:
        # The transport shows it every answer, before it raises for one.
        declared["read_quota"] = self._note_quota
        return super()._request(operation, method, path, **declared)

    def _listing(
        self, kind: type[K], operation: str, path: str, name: str, asked: Mapping[str, Any]
    ) -> Listing[K]:
        """List `{<name>: […]}` at `path`, beginning at the `offset` that is asked for, if any."""
        first = {key: str(value) for key, value in asked.items() if value is not None}
        start = int(first.get("offset", 0))

        def ask(offset: int) -> Page[K]:
            params = first if offset == start else {**first, "offset": str(offset)}
            return read_page(kind, self._call(operation, "GET", path, params=params), name, offset)

        return Listing(operation, ask, start)


def read_wrapped(kind: type[R], reply: AnsweredRequest, name: str) -> R:
    """Read the one thing that an answer is, or has under `name` where that is an object."""
    document = reply.document()
    return reply.read(kind, read.members(document.get(name)) or document)


def read_page(kind: type[K], reply: AnsweredRequest, name: str, offset: int) -> Page[K]:
    """Read `{<name>: […], total, hasMore}`. Raises: UnexpectedAnswer, for what holds no list."""
    listed = reply.objects(name)
    about = read.members(reply.answer.json())
    total, has_more = read.count(about.get("total")), about.get("hasMore")
    items = (_usable(kind, item) for item in listed)
    return Page(
        items=tuple(item for item in items if item is not None),
        length=len(listed),
        total=total,
        has_more=has_more is True
        or (has_more is None and total is not None and offset + len(listed) < total),
    )


def _usable(kind: type[K], document: object) -> K | None:
    try:
        return kind.model_validate(document)
    except (ValidationError, RecursionError):
        return None
