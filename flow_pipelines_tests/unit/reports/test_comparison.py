"""Rows of several sides, matched by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flow_pipelines.model import CostBasis, Night, Output, StoredFacts, Submission, SubmissionState
from flow_pipelines.reports.comparison import (
    ColumnSummary,
    ComparedColumn,
    ComparedRow,
    MatchedRows,
    Side,
    summarize_columns,
    verdict,
)
from flow_pipelines.reports.row_view import StoredPictures

NOW = datetime(2026, 11, 22, tzinfo=UTC)
S = SubmissionState


def row(side: str, prompt_id: str, number: int = 0, **facts: Any) -> Submission:
    copy = facts.pop("copy", 0)
    known: dict[str, Any] = {
        "state": S.SUCCEEDED,
        "provider_run_id": f"run-{prompt_id}",
        "submitting_at": NOW,
        "cost_usd": Decimal("0.02"),
        "cost_basis": CostBasis.CHARGED,
        "run_ms": 1000,
    }
    return Submission(
        submission_key=f"{side}.{prompt_id}.{copy}",
        night=Night(side, "2026-11-21"),
        prompt_id=prompt_id,
        row_number=number,
        copy=copy,
        generation=0,
        prompt=f"a picture of {prompt_id}",
        seed=None,
        provider=side,
        resource=side,
        workflow="graph.json",
        workflow_version="1",
        parameters={},
        content_hash="",
        request_hash="",
        planned_at=NOW,
        **(known | facts),
    )


def side(name: str, *rows: Submission, images: int = 1) -> Side:
    outputs = {
        one.submission_key: [
            Output(
                submission_key=one.submission_key,
                output_index=index,
                output_id=str(index),
                kind="file",
                file_name=None,
                stored=StoredFacts(
                    s3_key=f"flow/{one.submission_key}.{index}.png",
                    media_type="image/png",
                    size_bytes=1,
                    sha256="x",
                    width=1,
                    height=1,
                    bucket="bucket",
                ),
            )
            for index in range(images)
        ]
        for one in rows
        if one.state is S.SUCCEEDED
    }
    return Side(column=ComparedColumn(name=name), submissions=rows, outputs=outputs)


def rows_of(sides: Sequence[Side]) -> Sequence[ComparedRow]:
    pictures = StoredPictures(bucket="bucket", folder="flow", get=lambda _: None)
    return MatchedRows.of(sides).rows(pictures)


def summaries_of(sides: Sequence[Side]) -> Sequence[ColumnSummary]:
    return summarize_columns([one.column for one in sides], rows_of(sides))


def test_rows_are_matched_by_prompt_in_the_order_of_the_table() -> None:
    a = side("a", row("a", "z", 0), row("a", "m", 1))
    b = side("b", row("b", "m", 1), row("b", "new", 2), row("b", "z", 0))
    rows = rows_of([a, b])
    assert [one.prompt_id for one in rows] == ["z", "m", "new"]
    assert [[cell is not None for cell in one.cells] for one in rows] == [
        [True, True],
        [True, True],
        [False, True],
    ]


def test_copies_are_rows_of_their_own() -> None:
    a = side("a", row("a", "p"), row("a", "p", copy=1))
    rows = rows_of([a, side("b", row("b", "p", copy=1))])
    assert [one.prompt_id for one in rows] == ["p · copy 1", "p · copy 2"]
    assert rows[0].cells[1] is None


def test_a_cost_is_unknown_only_where_something_may_have_been_bought() -> None:
    none = {"cost_usd": None, "cost_basis": CostBasis.UNKNOWN}
    rows = [
        row("a", "bought", 0, **none),
        row("a", "perhaps", 1, state=S.UNRESOLVED, provider_run_id=None, **none),
        row("a", "refused", 2, state=S.FAILED, provider_run_id=None, **none),
        row("a", "left_out", 3, state=S.SKIPPED, provider_run_id=None, submitting_at=None, **none),
    ]
    [summary] = summaries_of([side("a", *rows)])
    assert (summary.costs_unknown, summary.failed) == (2, 2)


def test_medians_are_over_what_succeeded() -> None:
    costs = ("0.01", "0.02", "0.06")
    done = [row("a", f"p{n}", n, cost_usd=Decimal(cost)) for n, cost in enumerate(costs)]
    failed = row("a", "vain", 3, state=S.FAILED, cost_usd=Decimal(9), run_ms=99_000)
    a = side("a", *done, failed)
    assert a.median_cost_usd() == Decimal("0.02")
    [summary] = summaries_of([a])
    assert summary.median_seconds == 1.0
    assert side("b", failed).median_cost_usd() is None


def test_the_verdict_names_the_cheapest_and_the_fastest() -> None:
    a = side("a", row("a", "p", cost_usd=Decimal("0.03"), run_ms=1500))
    b = side("b", row("b", "p", cost_usd=Decimal("0.04"), run_ms=9000), images=2)
    assert verdict(summaries_of([a, b]), 1) == (
        "1 row; cheapest: b ($0.02 an image); fastest: a (median 1.5 s)."
    )


def test_the_verdict_says_what_is_not_known_or_estimated() -> None:
    unknown = {"cost_usd": None, "cost_basis": CostBasis.UNKNOWN, "run_ms": None}
    a, b = side("a", row("a", "p")), side("b", row("b", "p", **unknown))
    assert verdict(summaries_of([a, b]), 7) == "7 rows; costs cannot be compared yet."
    third = side("c", row("c", "p", cost_usd=Decimal("0.03")))
    said = verdict(summaries_of([a, b, third]), 1)
    assert "cheapest: a ($0.02 an image); not all costs are known of b;" in said
    guess = side("b", row("b", "p", cost_basis=CostBasis.ESTIMATED))
    said = verdict(summaries_of([a, guess]), 1)
    assert "cheapest: a and b ($0.02 an image, partly estimated)" in said


def test_the_table_has_a_row_a_prompt_and_side() -> None:
    a = side("a", row("a", "p"), images=2)
    b = side("b", row("b", "p", state=S.FAILED, cost_usd=None, cost_basis=CostBasis.UNKNOWN))
    table = MatchedRows.of([a, b]).table().to_pylist()
    assert [(one["side"], one["status"], one["images"]) for one in table] == [
        ("a", "succeeded", 2),
        ("b", "failed", 0),
    ]
    assert [one["s3_uri"] for one in table] == ["s3://bucket/flow/a.p.0.0.png", None]
    assert [one["cost_usd"] for one in table] == [Decimal("0.02"), None]
