"""The same prompts through several providers: what is compared, and which is cheaper or faster."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from flow_pipelines.reports.cards import IN_VAIN, SUCCEEDED
from flow_pipelines.reports.pictures import LoadPicture


@dataclass(frozen=True, kw_only=True)
class ComparedColumn:
    """One of the ways that every prompt went: a provider with a workflow."""

    name: str
    """The heading; short, and different from every other column's."""
    note: str = ""
    """One line below it: the workflow, the account."""


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """What one prompt became in one column."""

    state: str = SUCCEEDED
    """A word for where it stands; everything but "succeeded" is marked and shows its reason."""
    reason: str = ""
    """Why there is no picture, in words."""
    load: LoadPicture | None = None
    """Gives the first picture; None: there is none."""
    images: int = 0
    """How many pictures are stored; only the first is shown, and the others are counted."""
    href: str = ""
    """Path of the picture's file relative to the page: a downloaded folder opens it offline."""
    seed: int | None = None
    cost_usd: Decimal | None = None
    """None: unknown. Never given for what was not sent."""
    cost_estimated: bool = False
    """The cost was worked out from prices, and not said by the provider."""
    run_ms: int | None = None
    """From the provider's start to its end."""
    flotime_ms: int | None = None
    """Floyo's and FloImg's unit; None where a provider does not count it."""
    bought: bool = True
    """A provider run exists or may exist: its cost counts as unknown while none is given."""


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One prompt, with a cell for each column in their order."""

    prompt_id: str
    prompt: str
    cells: Sequence[ComparedCell | None]
    """None: this prompt was not meant for that column. So are cells that are missing at the end."""


@dataclass(frozen=True, kw_only=True)
class ColumnSummary:
    """A column in numbers."""

    column: ComparedColumn
    images: int
    failed: int
    """Cells that are "failed", "canceled", "unresolved" or "not stored"."""
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


_MILLIONTH = Decimal("0.000001")


def summarize_columns(
    columns: Sequence[ComparedColumn], rows: Iterable[ComparedRow]
) -> Sequence[ColumnSummary]:
    """Sum every column up, in their order. Loads no picture.

    Cheapest and fastest are said only where at least two columns can be compared.
    """
    cells: list[list[ComparedCell]] = [[] for _ in columns]
    for row in rows:
        for place, cell in zip(cells, row.cells, strict=False):
            if cell is not None:
                place.append(cell)
    alone = [_summary(column, mine) for column, mine in zip(columns, cells, strict=True)]
    cheapest = _least(None if one.costs_unknown else one.cost_per_image_usd for one in alone)
    fastest = _least(one.median_seconds for one in alone)
    return [
        replace(one, cheapest=number in cheapest, fastest=number in fastest)
        for number, one in enumerate(alone)
    ]


def _summary(column: ComparedColumn, cells: Sequence[ComparedCell]) -> ColumnSummary:
    images = sum(cell.images for cell in cells)
    cost = sum((cell.cost_usd for cell in cells if cell.cost_usd is not None), Decimal(0))
    done = [cell for cell in cells if cell.state == SUCCEEDED]
    return ColumnSummary(
        column=column,
        images=images,
        failed=sum(cell.state in IN_VAIN for cell in cells),
        cost_usd=cost,
        costs_unknown=sum(cell.bought and cell.cost_usd is None for cell in cells),
        costs_estimated=sum(cell.cost_estimated for cell in cells if cell.cost_usd is not None),
        cost_per_image_usd=(cost / images).quantize(_MILLIONTH) if images else None,
        median_seconds=_median([c.run_ms / 1000 for c in done if c.run_ms is not None]),
        median_flotime_ms=_median([c.flotime_ms for c in done if c.flotime_ms is not None]),
    )


def _median(values: Sequence[float]) -> float | None:
    return float(statistics.median(values)) if values else None


def _least(values: Iterable[Decimal | float | None]) -> frozenset[int]:
    """Return the places of the least value, where there is something to compare it with."""
    known = {place: value for place, value in enumerate(values) if value is not None}
    if len(known) < 2:  # noqa: PLR2004 - a comparison takes two
        return frozenset()
    least = min(known.values())
    return frozenset(place for place, value in known.items() if value == least)
