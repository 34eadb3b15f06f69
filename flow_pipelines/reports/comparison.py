"""The sides of a comparison, their rows matched by prompt: for the page, and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flow_pipelines.model.output import Output
from flow_pipelines.model.states import SubmissionState
from flow_pipelines.model.submission import Submission
from flow_pipelines.model.wording import money
from flow_pipelines.reports.comparison_summary import (
    ColumnSummary,
    ComparedColumn,
    ComparedRow,
)
from flow_pipelines.reports.row_view import RowView, StoredPictures, whole_row_view
from flow_pipelines.storage.places import uri_of

if TYPE_CHECKING:
    import pyarrow as pa

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
        import pyarrow as pa

        records = [
            _record(one, side)
            for submissions in self.by_row.values()
            for one, side in zip(submissions, self.sides, strict=True)
            if one is not None
        ]
        return pa.Table.from_pylist(records, schema=comparison_schema())


def _record(row: Submission, side: Side) -> dict[str, Any]:
    images = side.images(row)
    first = images[0].stored if images else None
    return {
        "prompt_id": row.prompt_id,
        "copy": row.copy,
        "prompt": row.prompt.encode("utf-8", "replace").decode("utf-8"),
        "side": side.column.name,
        "batch": row.night.batch,
        "partition_key": row.night.partition_key,
        "provider": row.provider,
        "workflow": row.workflow,
        "seed": row.seed,
        "status": row.state.value,
        "images": len(images),
        "s3_uri": uri_of(first) if first else None,
        "submitted_at": row.submitted_at,
        "finished_at": row.finished_at,
        "run_ms": row.run_ms,
        "flotime_ms": row.flotime_ms,
        "cost_usd": row.cost_usd,
        "cost_basis": row.cost_basis.value,
        "submission_key": row.submission_key,
        "provider_run_id": row.provider_run_id,
    }


def comparison_schema() -> pa.Schema:
    """Return the columns of the table."""
    import pyarrow as pa

    text, time = pa.string(), pa.timestamp("us", tz="UTC")
    return pa.schema([
        ("prompt_id", text),
        ("copy", pa.int32()),
        ("prompt", text),
        ("side", text),
        ("batch", text),
        ("partition_key", text),
        ("provider", text),
        ("workflow", text),
        ("seed", pa.uint64()),
        ("status", text),
        ("images", pa.int32()),
        ("s3_uri", text),
        ("submitted_at", time),
        ("finished_at", time),
        ("run_ms", pa.int64()),
        ("flotime_ms", pa.int64()),
        ("cost_usd", pa.decimal128(18, 6)),
        ("cost_basis", text),
        ("submission_key", text),
        ("provider_run_id", text),
    ])  # fmt: skip


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
