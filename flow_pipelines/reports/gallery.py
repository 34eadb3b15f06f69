"""A night to look through: every picture in one file a page, with a filter and a large view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote

from flow_pipelines.model.wording import duration, money
from flow_pipelines.reports.cards import Card
from flow_pipelines.reports.page import (
    NOTHING,
    PAGE_BYTES,
    document,
    facts_list,
    filter_bar,
    state_name,
    text,
)
from flow_pipelines.reports.pictures import Broken, Room, small_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

CARDS_A_PAGE = 300
_FRAME_BYTES = 60_000
"""Kept free for style, script and controls."""
_REASON = 500
_PROMPTS = (2000, 500, 100)
"""Characters of a prompt: fewer where a page's prompts would leave no room for pictures."""


def gallery_pages(
    title: str,
    subtitle: str,
    cards: Sequence[Card],
    pictures: Iterator[Image | Broken | None] | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Return the pages with their file names: `gallery.html`, and `gallery-2.html` and so on.

    A page holds 300 cards in less than 5 MB: the fewer pictures, the larger they are in it. One
    page is in memory at a time.

    Args:
        title: The night, as text.
        subtitle: A sentence on how it went.
        cards: In the order in which they are shown.
        pictures: Of all cards, in their order; None: the cards' own, loaded as they are needed.
    """
    source = small_pictures(card.load for card in cards) if pictures is None else pictures
    pages = [cards[at : at + CARDS_A_PAGE] for at in range(0, len(cards), CARDS_A_PAGE)] or [[]]
    for number, shown in enumerate(pages):
        links = _page_links(pages, number) if len(pages) > 1 else ""
        body = _body(shown, source)
        yield _name(number), document(title, subtitle, body, under_title=links)


def _body(cards: Sequence[Card], pictures: Iterator[Image | Broken | None]) -> list[str]:
    frames, taken = _frames(cards)
    room = Room(PAGE_BYTES - _FRAME_BYTES - taken, sum(card.load is not None for card in cards))
    providers = sorted({card.provider for card in cards if card.provider})
    states = dict(Counter(card.state for card in cards))
    parts = [filter_bar(len(cards), states, providers=providers, orders=True)]
    parts.append('<ul class="cards">\n')
    for card, frame, picture in zip(cards, frames, islice(pictures, len(cards)), strict=True):
        parts += [frame[0], picture_html(card.state, card.reason, picture, room), frame[1]]
    parts.append(f"</ul>\n{NOTHING}")
    return parts


def picture_html(state: str, reason: str, picture: Image | Broken | None, room: Room) -> str:
    """Return what stands in a picture's place: the picture, or words that say why there is none."""
    if picture is not None and picture != "broken":
        url = room.data_url(picture)
        if url is not None:
            size = f'width="{picture.width}" height="{picture.height}"'
            return f'<img src="{url}" alt="" {size}>'
        state, reason = "stored", "Too many pictures for one file: open the stored one."
    elif picture == "broken":
        state, reason = "cannot be shown", reason or "The stored file does not decode here."
    elif state == "succeeded":
        state, reason = "cannot be shown", reason or "The stored file is too large, or gone."
    return (
        f'<span class="absent"><strong>{text(state)}</strong>'
        f'<span class="why" dir="auto">{text(reason, _REASON)}</span></span>'
    )


def file_attribute(href: str) -> str:
    """Return the attribute that lets the large view link the stored file."""
    return f' data-file="{text(quote(href, errors="replace"))}"' if href else ""


def _frames(cards: Sequence[Card]) -> tuple[list[tuple[str, str]], int]:
    """Return what stands around every picture, and its bytes: no more than half a page's."""
    taken = 0
    frames: list[tuple[str, str]] = []
    for longest in _PROMPTS:
        frames = [_frame(card, longest) for card in cards]
        taken = sum(len(part.encode()) for frame in frames for part in frame)
        if taken <= PAGE_BYTES // 2:
            break
    return frames, taken


def _frame(card: Card, longest: int) -> tuple[str, str]:
    """Return what stands before and after a card's picture."""
    cost = money(card.cost_usd, estimated=card.cost_estimated)
    numbers = [cost, duration(card.run_ms), _count(card)]
    vain = " vain" if card.in_vain else ""
    before = (
        f'<li class="card{vain}" data-unit data-item data-states="{state_name(card.state)}" '
        f'data-provider="{text(card.provider)}" data-cost="{card.cost_usd or ""}" '
        f'data-seconds="{card.run_ms or ""}"{file_attribute(card.href)}>'
        f'<button type="button" class="open" aria-label="{text(_label(card), 200)}">'
    )
    after = (
        f'</button><div class="text"><p class="prompt" dir="auto">{text(card.prompt, longest)}</p>'
        f'<p class="meta">{_state(card)}<bdi class="id">{text(card.prompt_id, 80)}</bdi>'
        f"{''.join(f' · {text(one)}' for one in numbers if one)}</p></div>{_facts(card)}</li>\n"
    )
    return before, after


def _label(card: Card) -> str:
    place = f", {_count(card)}" if card.images > 1 else ""
    return f"{card.prompt_id[:60]}{place}, {card.state}: {card.prompt[:100]}"


def _state(card: Card) -> str:
    return f'<span class="state">{text(card.state)}</span> · ' if card.in_vain else ""


def _count(card: Card) -> str:
    return f"{card.image} of {card.images}" if card.images > 1 else ""


def _facts(card: Card) -> str:
    return facts_list({
        "State": card.state,
        "Reason": card.reason if card.load is not None else "",
        "Row": card.prompt_id,
        "Copy": card.copy + 1 if card.copy else "",
        "Picture": _count(card),
        "Seed": card.seed,
        "Provider": card.provider,
        "Cost": money(card.cost_usd, estimated=card.cost_estimated),
        "Duration": duration(card.run_ms),
        "FloTime": duration(card.flotime_ms),
        "Pixels": card.size,
        "Provider run": card.provider_run_id,
        "File": card.href,
        "Also stored": card.also_stored,
    }.items())  # fmt: skip


def _name(page: int) -> str:
    return f"gallery-{page + 1}.html" if page else "gallery.html"


def _page_links(pages: Sequence[Sequence[Card]], current: int) -> str:
    links = []
    for number, cards in enumerate(pages):
        first = number * CARDS_A_PAGE + 1
        vain = sum(card.in_vain for card in cards)
        words = f"{first}–{first + len(cards) - 1}" + (f" ({vain} without)" if vain else "")
        here = number == current
        links.append(
            f'<li><strong aria-current="page">{words}</strong></li>'
            if here
            else f'<li><a href="{_name(number)}">{words}</a></li>'
        )
    return f'<nav aria-label="Pages"><ul class="pages">{"".join(links)}</ul></nav>\n'
