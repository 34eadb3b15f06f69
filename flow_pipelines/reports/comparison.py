"""Side by side: a page with a row a prompt and a column a provider, in one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from flow_pipelines.model.wording import duration, money
from flow_pipelines.reports.cards import IN_VAIN
from flow_pipelines.reports.compared import (
    ColumnSummary,
    ComparedCell,
    ComparedColumn,
    ComparedRow,
    summarize_columns,
)
from flow_pipelines.reports.gallery import file_attribute, picture_html
from flow_pipelines.reports.page import (
    NOTHING,
    PAGE_BYTES,
    document,
    facts_list,
    filter_bar,
    state_name,
    text,
)
from flow_pipelines.reports.pictures import Broken, LoadPicture, Room, small_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "ColumnSummary",
    "ComparedCell",
    "ComparedColumn",
    "ComparedRow",
    "comparison_html",
    "summarize_columns",
]

MOST_PICTURES = 800
"""With more, each would be a smudge: the first rows have theirs, the others a link."""
_FRAME_BYTES = 60_000
_PROMPT = 1000


def comparison_html(
    title: str, subtitle: str, columns: Sequence[ComparedColumn], rows: Iterable[ComparedRow]
) -> bytes:
    """Return the page, UTF-8, below 5 MB, with everything in it: it needs no network.

    Pictures are loaded a few at a time and made small at once; the fewer they are, the larger they
    stand in the page.
    """
    rows = list(rows)
    summary = _summary_table(summarize_columns(columns, rows))
    shown = _that_fit(rows)
    notes = _notes(rows, shown)
    return document(title, subtitle, [summary, notes, *_sides(columns, shown)])


def _notes(rows: Sequence[ComparedRow], shown: Sequence[ComparedRow]) -> str:
    told = []
    if len(rows) > len(shown):
        told.append(f"The first {len(shown):,} of {len(rows):,} prompts are shown.")
    pictures = sum(cell.load is not None for row in shown for cell in row.cells if cell)
    if pictures > MOST_PICTURES:
        told.append(f"The first {MOST_PICTURES} of {pictures:,} pictures are in this file.")
    return "".join(f'<p class="note">{note}</p>\n' for note in told)


def _sides(columns: Sequence[ComparedColumn], rows: Sequence[ComparedRow]) -> Iterator[str]:
    cells = [list(_padded(row, len(columns))) for row in rows]
    loads = [cell.load if cell else None for line in cells for cell in line]
    pictures = small_pictures(_first(loads, MOST_PICTURES))
    room = Room(
        PAGE_BYTES - _FRAME_BYTES - sum(map(_bytes, rows)),
        min(sum(load is not None for load in loads), MOST_PICTURES),
    )
    yield filter_bar(len(rows), Counter(state for line in cells for state in _states(line)))
    heads = "".join(f'<th scope="col">{_named(one)}</th>' for one in columns)
    yield '<div class="scroll" tabindex="0" role="region" aria-label="Side by side">\n'
    yield f'<table class="sides">\n<thead><tr><th scope="col" class="row">Prompt</th>{heads}</tr>'
    yield "</thead>\n<tbody>\n"
    for row, line in zip(rows, cells, strict=True):
        yield _row_start(row, line)
        for column, cell in zip(columns, line, strict=True):
            picture = next(pictures)
            yield "<td></td>" if cell is None else _cell(row, column, cell, picture, room)
        yield "</tr>\n"
    yield f"</tbody></table></div>\n{NOTHING}"


def _row_start(row: ComparedRow, line: Sequence[ComparedCell | None]) -> str:
    states = " ".join(state_name(state) for state in _states(line))
    return (
        f'<tr data-unit data-states="{states}"><th scope="row" class="row">'
        f'<p class="prompt" dir="auto">{text(row.prompt, _PROMPT)}</p>'
        f'<p class="meta"><bdi class="id">{text(row.prompt_id, 80)}</bdi></p></th>'
    )


def _cell(
    row: ComparedRow,
    column: ComparedColumn,
    cell: ComparedCell,
    picture: Image | Broken | None,
    room: Room,
) -> str:
    vain = cell.state in IN_VAIN
    cost = money(cell.cost_usd, estimated=cell.cost_estimated)
    flotime = duration(cell.flotime_ms)
    told = [
        cost or ("cost unknown" if cell.bought else ""),
        duration(cell.run_ms),
        flotime and f"FloTime {flotime}",
        f"1 of {cell.images}" if cell.images > 1 else "",
    ]
    label = text(f"{row.prompt_id}, {column.name}, {cell.state}", 300)
    state = f'<span class="state">{text(cell.state)}</span> · ' if vain else ""
    return (
        f"<td><figure data-item{file_attribute(cell.href)}{_class(vain)}>"
        f'<button type="button" class="open" aria-label="{label}">'
        f"{picture_html(cell.state, cell.reason, picture, room)}</button>"
        f'<figcaption class="meta">{state}{text(" · ".join(filter(None, told)))}</figcaption>'
        f"{_facts(row, column, cell, cost, flotime)}</figure></td>"
    )


def _class(vain: bool) -> str:  # noqa: FBT001 - the only thing it is asked
    return ' class="vain"' if vain else ""


def _facts(
    row: ComparedRow, column: ComparedColumn, cell: ComparedCell, cost: str, flotime: str
) -> str:
    return facts_list((
        ("Provider", column.name),
        ("State", cell.state),
        ("Reason", cell.reason if cell.load is not None else ""),
        ("Row", row.prompt_id),
        ("Seed", cell.seed),
        ("Cost", cost or ("unknown" if cell.bought else "")),
        ("Duration", duration(cell.run_ms)),
        ("FloTime", flotime),
        ("File", cell.href),
    ))  # fmt: skip


def _summary_table(summaries: Sequence[ColumnSummary]) -> str:
    heads = ("Images", "Failed", "Cost", "Cost per image", "Median time", "Median FloTime")
    lines = [
        f'<tr><th scope="row">{_named(one.column)}</th>'
        f"<td>{one.images:,}</td><td{_warned(one.failed)}>{one.failed:,}</td>"
        f"<td>{money(one.cost_usd)}{_small(_doubts(one))}</td>"
        f"<td>{money(one.cost_per_image_usd) or '–'}{_best('cheapest', one.cheapest)}</td>"
        f"<td>{_seconds(one.median_seconds)}{_best('fastest', one.fastest)}</td>"
        f"<td>{duration(one.median_flotime_ms) or '–'}</td></tr>\n"
        for one in summaries
    ]
    names = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Summary">'
        '<table class="summary">\n<thead><tr><th scope="col">Provider</th>'
        f"{names}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody></table></div>\n"
    )


def _seconds(seconds: float | None) -> str:
    return duration(None if seconds is None else seconds * 1000) or "–"


def _doubts(one: ColumnSummary) -> str:
    told = [
        f"{one.costs_unknown} unknown" if one.costs_unknown else "",
        f"{one.costs_estimated} estimated" if one.costs_estimated else "",
    ]
    return ", ".join(filter(None, told))


def _small(words: str) -> str:
    return f'<span class="small">{words}</span>' if words else ""


def _best(word: str, it_is: bool) -> str:  # noqa: FBT001 - the only thing it is asked
    return f'<span class="small best">✓ {word}</span>' if it_is else ""


def _warned(count: int) -> str:
    return ' class="warn"' if count else ""


def _named(column: ComparedColumn) -> str:
    note = f'<span class="small">{text(column.note, 200)}</span>' if column.note else ""
    return f"<bdi>{text(column.name, 100)}</bdi>{note}"


def _padded(row: ComparedRow, columns: int) -> Iterator[ComparedCell | None]:
    for index in range(columns):
        yield row.cells[index] if index < len(row.cells) else None


def _states(line: Iterable[ComparedCell | None]) -> Sequence[str]:
    return sorted({cell.state for cell in line if cell})


def _first(loads: Iterable[LoadPicture | None], most: int) -> Iterator[LoadPicture | None]:
    """Return the loads as they are; from the one after the `most`th on, None."""
    given = 0
    for load in loads:
        given += load is not None
        yield load if given <= most else None


def _that_fit(rows: Sequence[ComparedRow]) -> Sequence[ComparedRow]:
    """Return the first rows: as many as leave half the page to the pictures."""
    taken = 0
    for count, row in enumerate(rows):
        taken += _bytes(row)
        if taken > PAGE_BYTES // 2:
            return rows[:count]
    return rows


def _bytes(row: ComparedRow) -> int:
    """Return about what a row takes without its pictures: never less."""
    words = [text(row.prompt, _PROMPT), *(text(cell.reason, 500) for cell in row.cells if cell)]
    links = sum(3 * len(cell.href.encode("utf-8", "replace")) * 2 for cell in row.cells if cell)
    names = len(text(row.prompt_id, 200).encode()) * 2 + 1000
    return sum(len(word.encode()) for word in words) + links + names * (len(row.cells) + 1)
