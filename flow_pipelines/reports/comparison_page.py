"""Side by side: a page with a row a prompt and a column a provider, in one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from flow_pipelines.reports.comparison import (
    ComparedColumn,
    ComparedRow,
    summarize_columns,
)
from flow_pipelines.reports.page import FRAME_BYTES, PAGE_BYTES, render
from flow_pipelines.reports.pictures import PictureBudget, small_pictures
from flow_pipelines.reports.row_view import LEFT_OUT, RowView, ShownPicture, absence, shown_picture

MOST_PICTURES = 800
"""With more, each would be a smudge: the first rows have theirs, the others a link."""

_Cells = Sequence[tuple[ComparedColumn, RowView | None, ShownPicture | None]]
"""A row of the page: column, view and picture; None where the prompt was not meant for it."""


def comparison_html(
    title: str, subtitle: str, columns: Sequence[ComparedColumn], rows: Iterable[ComparedRow]
) -> bytes:
    """Return the page, UTF-8, below 5 MB, with everything in it: it needs no network.

    Pictures are loaded a few at a time and made small at once; the fewer they are, the larger they
    stand in the page.
    """
    rows = list(rows)
    shown, text_bytes = _rows_that_fit(columns, rows)
    loadable = [view for row in shown for view in row.cells if view and view.load]
    return render(
        "comparison.html",
        title=title,
        subtitle=subtitle,
        columns=columns,
        summaries=summarize_columns(columns, rows),
        notes=list(_notes(len(rows), len(shown), len(loadable))),
        total=len(shown),
        states=Counter(state for row in shown for state in row.states),
        rows=_with_pictures(shown, columns, loadable[:MOST_PICTURES], text_bytes),
    )


def _notes(rows: int, shown: int, pictures: int) -> Iterator[str]:
    if rows > shown:
        yield f"The first {shown:,} of {rows:,} prompts are shown."
    if pictures > MOST_PICTURES:
        yield f"The first {MOST_PICTURES} of {pictures:,} pictures are in this file."


def _with_pictures(
    rows: Sequence[ComparedRow],
    columns: Sequence[ComparedColumn],
    loadable: Sequence[RowView],
    text_bytes: int,
) -> Iterator[tuple[ComparedRow, _Cells]]:
    """Yield the rows with the pictures of `loadable`, loaded as the page is written."""
    budget = PictureBudget(PAGE_BYTES - FRAME_BYTES - text_bytes, len(loadable))
    loaded = zip(loadable, small_pictures(view.load for view in loadable), strict=True)
    pictures = (shown_picture(view, picture, budget) for view, picture in loaded)
    for row in rows:
        yield row, _cells(row, columns, pictures)


def _cells(
    row: ComparedRow, columns: Sequence[ComparedColumn], pictures: Iterator[ShownPicture]
) -> _Cells:
    """Return a cell for each column; rows may be shorter. `pictures` has those still to show."""
    cells = zip_longest(columns, row.cells[: len(columns)])
    return [(column, view, _shown(view, pictures) if view else None) for column, view in cells]


def _shown(view: RowView, pictures: Iterator[ShownPicture]) -> ShownPicture:
    return absence(view) if view.load is None else next(pictures, LEFT_OUT)


def _rows_that_fit(
    columns: Sequence[ComparedColumn], rows: Sequence[ComparedRow]
) -> tuple[Sequence[ComparedRow], int]:
    """Return the first rows, as many as leave half the page to the pictures, and their bytes."""
    text_bytes = 0
    for count, row in enumerate(rows):
        cells = _cells(row, columns, iter(()))
        row_bytes = len(render("comparison_row.html", row=row, cells=cells))
        if text_bytes + row_bytes > PAGE_BYTES // 2:
            return rows[:count], text_bytes
        text_bytes += row_bytes
    return rows, text_bytes
