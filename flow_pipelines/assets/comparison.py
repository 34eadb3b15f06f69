"""`<name>/comparison`: the same prompts on several sides, picture by picture. Free of charge."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import night_of
from flow_pipelines.assets.columns import shown_table
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.assets.preview import stored_picture
from flow_pipelines.assets.shared_definitions import Comparison
from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.archive import archived_night
from flow_pipelines.lifecycle.file_locations import FileLocations
from flow_pipelines.lifecycle.plan import latest
from flow_pipelines.model import Night
from flow_pipelines.model.states import UNDER_WAY
from flow_pipelines.reports.comparison import (
    ColumnSummary,
    ComparedColumn,
    MatchedRows,
    Side,
    summarize_columns,
    verdict,
)
from flow_pipelines.reports.comparison_page import comparison_html
from flow_pipelines.reports.preview import preview_markdown
from flow_pipelines.reports.row_view import StoredPictures
from flow_pipelines.resources.failures import failures
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.receipts import refuse_other_ledger


def compare(comparison: Comparison, context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    """Lay the sides of a night beside each other, of what there is."""
    with failures(), heartbeat(context) as ledger:
        nights = [night_of(side.batch, context) for side in comparison.sides]
        store = context.resources.image_store.get_store()
        for night in nights:
            refuse_other_ledger(store, night.batch, ledger.ledger_id)
        matched = _matched_rows(ledger, store, comparison, nights)
        page = store.key(comparison.name, path_safe(nights[0].partition_key), "comparison.html")
        rows = matched.rows(_pictures(store, page))
        summaries = summarize_columns(matched.columns, rows)
        sentence = verdict(summaries, len(rows))
        html = comparison_html(_title(comparison, nights[0]), sentence, matched.columns, rows)
        store.put(page, html, media_type="text/html; charset=utf-8")
        return dg.MaterializeResult(
            value=matched.table(),
            metadata={
                "gallery": dg.MetadataValue.path(store.uri(page)),
                **_metadata(matched, summaries, sentence, store),
            },
        )


def _matched_rows(
    ledger: RunLedger, store: ImageStore, comparison: Comparison, nights: Sequence[Night]
) -> MatchedRows:
    sides = zip(comparison.sides, nights, strict=True)
    columns = ((ComparedColumn(name=side.label, note=side.note), night) for side, night in sides)
    return MatchedRows.of([_side(column, night, ledger, store) for column, night in columns])


def _side(column: ComparedColumn, night: Night, ledger: RunLedger, store: ImageStore) -> Side:
    closed = archived_night(night, ledger, store)
    if closed is not None:
        submissions, outputs = closed.submissions(), closed.outputs()
    else:
        submissions = ledger.submissions(night)
        outputs = FileLocations(ledger, store, night).noted(ledger.outputs(night))
    current = list(latest(submissions).values())
    return Side(column=column, submissions=current, outputs=outputs)


def _title(comparison: Comparison, night: Night) -> str:
    if comparison.partitions_def is None:
        return comparison.name
    return f"{comparison.name}, {night.partition_key}"


def _pictures(store: ImageStore, page: str) -> StoredPictures:
    """Return the pictures of all batches, as a page two folders below the top reaches them."""
    top = "/".join(page.split("/")[:-3])
    get = partial(stored_picture, store)
    return StoredPictures(bucket=store.bucket, folder=top, path="../../", get=get)


def _metadata(
    matched: MatchedRows, summaries: Sequence[ColumnSummary], sentence: str, store: ImageStore
) -> dict[str, Any]:
    waiting = sum(
        submission is not None and submission.state in UNDER_WAY
        for submissions in matched.by_row.values()
        for submission in submissions
    )
    numbers: dict[str, int | float] = {"rows": len(matched.by_row), "waiting": waiting}
    for side, summary in zip(matched.sides, summaries, strict=True):
        name = summary.column.name
        numbers |= {
            f"images_{name}": summary.images,
            f"failed_{name}": summary.failed,
            f"cost_usd_{name}": float(summary.cost_usd),
            f"cost_per_image_usd_{name}": float(summary.cost_per_image_usd or 0),
            f"median_cost_usd_{name}": float(side.median_cost_usd() or 0),
            f"median_seconds_{name}": summary.median_seconds or 0.0,
        }
    return {
        "preview": dg.MetadataValue.md(preview_markdown(_examples(matched, store), sentence)),
        "cheapest": _named(side for side in summaries if side.cheapest),
        "fastest": _named(side for side in summaries if side.fastest),
        "sides": _sides(matched, summaries),
        **numbers,
    }


def _named(summaries: Iterator[ColumnSummary]) -> str:
    return ", ".join(side.column.name for side in summaries) or "not known"


_COLUMNS = {
    "side": "string",
    "is": "string",
    "images": "int",
    "failed": "int",
    "cost_usd": "float",
    "cost_per_image_usd": "float",
    "median_cost_usd": "float",
    "median_seconds": "float",
    "median_flotime_ms": "float",
    "costs_estimated": "int",
    "costs_unknown": "int",
}


def _sides(matched: MatchedRows, summaries: Sequence[ColumnSummary]) -> dg.TableMetadataValue:
    rows = [
        {
            **vars(summary),
            "side": summary.column.name,
            "is": ", ".join(word for word in ("cheapest", "fastest") if getattr(summary, word)),
            "median_cost_usd": side.median_cost_usd(),
        }
        for side, summary in zip(matched.sides, summaries, strict=True)
    ]
    return shown_table(_COLUMNS, rows)


def _examples(matched: MatchedRows, store: ImageStore) -> Iterator[bytes]:
    """Return the pictures of the first row that every side has one of, side by side."""
    for submissions in matched.by_row.values():
        images = [
            side.images(submission) if submission else []
            for submission, side in zip(submissions, matched.sides, strict=True)
        ]
        if all(images):
            for first, *_ in images:
                facts = first.stored
                content = stored_picture(store, facts) if facts and facts.is_shown else None
                if content is not None:
                    yield content
            return
