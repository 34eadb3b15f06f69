"""The same prompts through several providers in numbers: which is cheaper, and which faster."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from flow_pipelines.reports.cost_report import per_image
from flow_pipelines.reports.row_view import RowView


@dataclass(frozen=True, kw_only=True)
class ComparedColumn:
    """One side of a comparison: a provider with a workflow."""

    name: str
    """The heading; short, and different from every other column's."""
    note: str = ""
    """One line below it: the workflow, the account."""


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One prompt, with a cell for each column in their order."""

    prompt_id: str
    prompt: str
    cells: Sequence[RowView | None]
    """None: this prompt was not meant for that column. So are cells that are missing at the end."""

    @property
    def states(self) -> Sequence[str]:
        """Return the states that occur in it."""
        return sorted({cell.state for cell in self.cells if cell})


@dataclass(frozen=True, kw_only=True)
class ColumnSummary:
    """A column in numbers."""

    column: ComparedColumn
    images: int
    failed: int
    """Cells that are marked: a picture was to come, and will not by itself."""
    cost_usd: Decimal
    """Of everything whose cost is known."""
    costs_unknown: int
    costs_estimated: int
    cost_per_image_usd: Decimal | None
    """Exact to the millionth; None without an image."""
    median_seconds: float | None
    """Of succeeded runs that tell their duration."""
    median_flotime_ms: float | None
    cheapest: bool = False
    """By cost per image, among columns without an unknown cost; several where they are equal."""
    fastest: bool = False
    """By the median of seconds; several where they are equal."""

    @property
    def median_ms(self) -> float | None:
        """Return the median in the unit of durations."""
        return None if self.median_seconds is None else self.median_seconds * 1000

    @property
    def doubts(self) -> str:
        """Return how many costs are unknown or estimated, in words."""
        counts = ((self.costs_unknown, "unknown"), (self.costs_estimated, "estimated"))
        return ", ".join(f"{count} {word}" for count, word in counts if count)


def summarize_columns(
    columns: Sequence[ComparedColumn], rows: Iterable[ComparedRow]
) -> Sequence[ColumnSummary]:
    """Return the sums of every column, in their order. Loads no picture.

    Cheapest and fastest are said only where at least two columns can be compared.
    """
    cells: list[list[RowView]] = [[] for _ in columns]
    for row in rows:
        for column_cells, cell in zip(cells, row.cells, strict=False):
            if cell is not None:
                column_cells.append(cell)
    sums = [_summary(column, seen) for column, seen in zip(columns, cells, strict=True)]
    costs = (None if column.costs_unknown else column.cost_per_image_usd for column in sums)
    cheapest, fastest = _least(costs), _least(column.median_seconds for column in sums)
    return [
        replace(column, cheapest=index in cheapest, fastest=index in fastest)
        for index, column in enumerate(sums)
    ]


def _summary(column: ComparedColumn, cells: Sequence[RowView]) -> ColumnSummary:
    images = sum(cell.images for cell in cells)
    cost = sum((cell.cost_usd for cell in cells if cell.cost_usd is not None), Decimal(0))
    done = [cell for cell in cells if cell.run_succeeded]
    return ColumnSummary(
        column=column,
        images=images,
        failed=sum(cell.is_problem for cell in cells),
        cost_usd=cost,
        costs_unknown=sum(cell.cost_is_unknown for cell in cells),
        costs_estimated=sum(cell.cost_estimated for cell in cells if cell.cost_usd is not None),
        cost_per_image_usd=per_image(cost, images),
        median_seconds=_median([c.run_ms / 1000 for c in done if c.run_ms is not None]),
        median_flotime_ms=_median([c.flotime_ms for c in done if c.flotime_ms is not None]),
    )


def _median(values: Sequence[float]) -> float | None:
    return float(statistics.median(values)) if values else None


def _least(values: Iterable[Decimal | float | None]) -> frozenset[int]:
    """Return the indexes of the least value, where there is something to compare it with."""
    known = {index: value for index, value in enumerate(values) if value is not None}
    if len(known) < 2:  # noqa: PLR2004 - a comparison takes two
        return frozenset()
    least = min(known.values())
    return frozenset(index for index, value in known.items() if value == least)
