"""Lists that come in pages: limit and offset there, one plain loop here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import UnexpectedAnswer
from flow_pipelines.provider import ApiAnswer, ApiRequest, expect_objects
from flow_pipelines.providers.floimg.calls import NAME
from flow_pipelines.providers.floimg.records import Kept

MOST_PAGES = 1000
"""Pages of one list; a list that goes on after that does not end."""

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


def read_page(
    kind: type[K], request: ApiRequest, answer: ApiAnswer, name: str, offset: int
) -> Page[K]:
    """Read `{<name>: […], total, hasMore}`. Raises: UnexpectedAnswer, for what holds no list."""
    found = expect_objects(NAME, request, answer, name)
    told = read.members(answer.json())
    total, has_more = read.count(told.get("total")), told.get("hasMore")
    items = (_usable(kind, one) for one in found)
    return Page(
        items=tuple(item for item in items if item is not None),
        length=len(found),
        total=total,
        has_more=has_more is True
        or (has_more is None and total is not None and offset + len(found) < total),
    )


def _usable(kind: type[K], document: object) -> K | None:
    try:
        return kind.model_validate(document)
    except (ValidationError, RecursionError):
        return None
