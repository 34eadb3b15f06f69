"""What came of the same prompts in several ways: the numbers, and the page as text."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from flow_pipelines.reports.comparison import (
    ColumnSummary,
    ComparedColumn,
    ComparedRow,
    summarize_columns,
)
from flow_pipelines.reports.comparison_page import comparison_html
from flow_pipelines.reports.row_view import RowView
from flow_pipelines_tests.unit.storage.samples import picture

LEFT, RIGHT = ComparedColumn(name="Left"), ComparedColumn(name="Right")


def cell(cost: str | None = "0.02", seconds: float | None = 4, **changes: object) -> RowView:
    settings = {
        "prompt_id": "p1",
        "prompt": "a lighthouse",
        "images": 1,
        "cost_usd": None if cost is None else Decimal(cost),
        "cost_is_unknown": cost is None,
        "run_ms": None if seconds is None else int(seconds * 1000),
        **changes,
    }
    return RowView(**settings)  # type: ignore[arg-type]


def row(*cells: RowView | None, prompt: str = "a lighthouse") -> ComparedRow:
    return ComparedRow(prompt_id="p1", prompt=prompt, cells=cells)


def both(*rows: ComparedRow) -> tuple[ColumnSummary, ColumnSummary]:
    left, right = summarize_columns([LEFT, RIGHT], rows)
    return left, right


def page_of(*rows: ComparedRow) -> str:
    return comparison_html("posters", "5 prompts", [LEFT, RIGHT], rows).decode()


def test_the_cheaper_and_the_faster_column_are_named() -> None:
    left, right = both(row(cell("0.02", 9), cell("0.04", 3)))
    assert (left.cheapest, left.fastest) == (True, False)
    assert (right.cheapest, right.fastest) == (False, True)


def test_equals_share_the_word() -> None:
    left, right = both(row(cell(), cell()))
    assert left.cheapest
    assert right.cheapest


def test_medians_are_of_runs_that_succeeded() -> None:
    rows = [row(cell(seconds=s, flotime_ms=int(s * 10))) for s in (1, 2, 60)]
    rows.append(row(cell(seconds=900, state="failed", images=0)))
    left, _ = both(*rows)
    assert (left.median_seconds, left.median_flotime_ms) == (2.0, 20.0)
    assert (left.images, left.failed) == (3, 1)


def test_failures_that_cost_money_make_a_picture_dearer() -> None:
    left, _ = both(row(cell("0.02")), row(cell("0.04", state="failed", images=0)))
    assert left.cost_usd == Decimal("0.06")
    assert left.cost_per_image_usd == Decimal("0.06")


def test_a_column_with_an_unknown_cost_is_not_called_cheapest() -> None:
    left, right = both(row(cell(None), cell("0.02")), row(cell("0.001"), cell("0.02")))
    assert left.costs_unknown == 1
    assert not left.cheapest
    assert not right.cheapest  # nothing is left to compare it with


def test_what_was_never_sent_has_no_unknown_cost() -> None:
    left, _ = both(row(cell(None, None, state="skipped", images=0, cost_is_unknown=False)))
    assert (left.costs_unknown, left.images, left.cost_per_image_usd) == (0, 0, None)
    assert left.median_seconds is None


def test_estimated_costs_are_counted() -> None:
    left, _ = both(row(cell(cost_estimated=True)), row(cell()))
    assert left.costs_estimated == 1
    assert "1 estimated" in page_of(row(cell(cost_estimated=True), cell()))


def test_rows_may_be_shorter_than_the_columns() -> None:
    _, right = both(row(cell()), row(None, cell()))
    assert right.images == 1
    assert page_of(row(cell())).count("<td></td>") == 1


def test_a_cell_says_cost_time_and_flotime_or_that_nobody_knows() -> None:
    page = page_of(row(cell("0.02", 4, flotime_ms=900, images=3), cell(None)))
    assert "$0.02 · 4.0 s · FloTime 900 ms · 1 of 3" in page
    assert "cost unknown · 4.0 s" in page


@pytest.mark.parametrize("words", ["<script>alert(1)</script>", '" onload="alert(1)', "W" * 9999])
def test_what_others_wrote_stays_words(words: str) -> None:
    column = ComparedColumn(name=words, note=words)
    cells = [cell(state="failed", reason=words, href=words)]
    rows = [ComparedRow(prompt_id=words, prompt=words, cells=cells)]
    page = comparison_html(words, words, [column], rows).decode()
    assert page.count("<script>") == 1
    assert ' onload="' not in page


def test_many_pictures_stay_within_a_page_and_the_page_says_so() -> None:
    noise = picture(size=(96, 96))
    rows = [row(*[cell(load=lambda: noise)] * 2) for _ in range(450)]
    page = page_of(*rows)
    assert len(page) < 5_000_000
    assert page.count("src=") == 800
    assert "The first 800 of 900 pictures are in this file." in page


def test_very_many_prompts_are_cut_and_summed_up_all_the_same() -> None:
    page = page_of(*[row(cell(), cell(), prompt='"' * 9999)] * 3000)
    assert len(page) < 5_000_000
    assert re.search(r"The first \d+ of 3,000 prompts are shown\.", page)
    assert "<td>3,000</td>" in page


def test_no_picture_is_loaded_twice() -> None:
    loaded = []
    page_of(*[row(cell(load=lambda n=n: loaded.append(n))) for n in range(20)])
    assert sorted(loaded) == list(range(20))
