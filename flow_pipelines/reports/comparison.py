"""The sides of a comparison, matched by prompt: rows of the page, sums a side, and a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa

from flow_pipelines.model.output import Output
from flow_pipelines.model.states import SubmissionState
from flow_pipelines.model.submission import Submission
from flow_pipelines.model.wording import money
from flow_pipelines.reports.cost_report import per_image
from flow_pipelines.reports.row_view import RowView, StoredPictures, whole_row_view
from flow_pipelines.storage.places import uri_of

_TEXT, _TIME = pa.string(), pa.timestamp("us", tz="UTC")

COMPARISON_SCHEMA = pa.schema([
    ("prompt_id", _TEXT),
    ("copy", pa.int32()),
    ("prompt", _TEXT),
    ("side", _TEXT),
    ("batch", _TEXT),
    ("partition_key", _TEXT),
    ("provider", _TEXT),
    ("workflow", _TEXT),
    ("seed", pa.uint64()),
    ("status", _TEXT),
    ("images", pa.int32()),
    ("s3_uri", _TEXT),
    ("submitted_at", _TIME),
    ("finished_at", _TIME),
    ("run_ms", pa.int64()),
    ("flotime_ms", pa.int64()),
    ("cost_usd", pa.decimal128(18, 6)),
    ("cost_basis", _TEXT),
    ("submission_key", _TEXT),
    ("provider_run_id", _TEXT),
])  # fmt: skip
"""The columns of the table."""


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
    """None: this prompt is not bought for that column. Cells missing at the end are None, too."""

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


_Row = tuple[str, int]
"""Prompt id and copy: what a row has on every side."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side with the current submission of each row."""

    column: ComparedColumn
    submissions: Sequence[Submission]
    outputs: Mapping[str, Sequence[Output]]

    def images(self, submission: Submission) -> list[Output]:
        """Return the pictures of a submission that are in the bucket, in their order.

        First those that can be shown; what else a run gives is none of them.
        """
        outputs = self.outputs.get(submission.submission_key, ())
        images = [
            output
            for output in outputs
            if output.kind == "file" and output.stored and output.stored.is_media
        ]
        return sorted(images, key=lambda output: not (output.stored and output.stored.is_shown))

    def view(self, submission: Submission, pictures: StoredPictures) -> RowView:
        """Return a submission as one cell of the page."""
        outputs = self.outputs.get(submission.submission_key, ())
        return whole_row_view(submission, outputs, pictures)

    def median_cost_usd(self) -> Decimal | None:
        """Return the median cost of a row that succeeded and whose cost is known."""
        costs = [
            row.cost_usd
            for row in self.submissions
            if row.state is SubmissionState.SUCCEEDED and row.cost_usd is not None
        ]
        return statistics.median(costs) if costs else None


@dataclass(frozen=True, kw_only=True)
class MatchedRows:
    """The sides of one partition, matched."""

    sides: Sequence[Side]
    by_row: Mapping[_Row, Sequence[Submission | None]]
    """By row, in the prompt table's order: a submission a side, None where a side has none."""

    @classmethod
    def of(cls, sides: Sequence[Side]) -> MatchedRows:
        """Match the sides' rows by prompt id and copy."""
        numbers: dict[_Row, int] = {}
        submissions: dict[tuple[int, _Row], Submission] = {}
        for index, side in enumerate(sides):
            for submission in side.submissions:
                row = (submission.prompt_id, submission.copy)
                numbers.setdefault(row, submission.row_number)
                submissions[index, row] = submission
        order = sorted(numbers, key=lambda row: (numbers[row], *row))
        by_row = {
            row: [submissions.get((index, row)) for index in range(len(sides))] for row in order
        }
        return cls(sides=sides, by_row=by_row)

    @property
    def columns(self) -> Sequence[ComparedColumn]:
        """Return the columns of the page."""
        return [side.column for side in self.sides]

    def rows(self, pictures: StoredPictures) -> Sequence[ComparedRow]:
        """Return the rows of the page. No picture is loaded yet."""
        copies = any(copy for _, copy in self.by_row)
        return [
            ComparedRow(
                prompt_id=f"{prompt_id} · copy {copy + 1}" if copies else prompt_id,
                prompt=next((one.prompt for one in submissions if one and one.prompt), ""),
                cells=[
                    side.view(one, pictures) if one else None
                    for one, side in zip(submissions, self.sides, strict=True)
                ],
            )
            for (prompt_id, copy), submissions in self.by_row.items()
        ]

    def table(self) -> pa.Table:
        """Return a row a prompt, copy and side: state, money, time and the first picture."""
        records = [
            _record(one, side)
            for submissions in self.by_row.values()
            for one, side in zip(submissions, self.sides, strict=True)
            if one is not None
        ]
        return pa.Table.from_pylist(records, schema=COMPARISON_SCHEMA)


def _record(row: Submission, side: Side) -> dict[str, Any]:
    images = side.images(row)
    first = images[0].stored if images else None
    record = {
        "prompt": row.prompt.encode("utf-8", "replace").decode("utf-8"),
        "side": side.column.name,
        "batch": row.night.batch,
        "partition_key": row.night.partition_key,
        "status": row.state.value,
        "images": len(images),
        "s3_uri": uri_of(first) if first else None,
        "cost_basis": row.cost_basis.value,
    }
    as_they_are = [name for name in COMPARISON_SCHEMA.names if name not in record]
    return record | {name: getattr(row, name) for name in as_they_are}


def verdict(summaries: Sequence[ColumnSummary], rows: int) -> str:
    """Return in one sentence which side is cheaper and which is faster, as far as is known."""
    cheapest = [side for side in summaries if side.cheapest]
    fastest = [side for side in summaries if side.fastest]
    parts = [f"{rows} row{'s' if rows != 1 else ''}"]
    if cheapest and cheapest[0].cost_per_image_usd is not None:
        cost = f"{money(cheapest[0].cost_per_image_usd)} an image"
        guess = ", partly estimated" if any(side.costs_estimated for side in summaries) else ""
        parts.append(f"cheapest: {_names(cheapest)} ({cost}{guess})")
        unknown = [side for side in summaries if side.costs_unknown]
        if unknown:
            parts.append(f"not all costs are known of {_names(unknown)}")
    else:
        parts.append("costs cannot be compared yet")
    if fastest and fastest[0].median_seconds is not None:
        parts.append(f"fastest: {_names(fastest)} (median {fastest[0].median_seconds:.1f} s)")
    return "; ".join(parts) + "."


def _names(summaries: Sequence[ColumnSummary]) -> str:
    return " and ".join(side.column.name for side in summaries)
