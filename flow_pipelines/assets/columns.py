"""Column schemas of our assets as Dagster metadata, and tables shown beside materializations."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import dagster as dg

OF_PLANNING = (
    "prompt_id", "copy", "generation", "prompt", "seed", "parameters", "submission_key", "status",
    "stale",
)  # fmt: skip
_IDENTITY = (
    "batch", "partition_key", "prompt_id", "copy", "generation", "prompt", "seed", "provider",
)  # fmt: skip
_OF_RUNS = (
    *_IDENTITY, "workflow", "parameters", "submission_key", "provider_run_id", "status", "stale",
    "error_code", "error_message", "submitted_at", "finished_at", "run_ms", "flotime_ms",
    "cost_usd", "cost_basis", "outputs",
)  # fmt: skip
_OF_IMAGES = (
    *_IDENTITY, "submission_key", "provider_run_id", "output_index", "file_name", "media_type",
    "width", "height", "size_bytes", "sha256", "s3_uri", "cost_usd", "verified", "verified_why",
    "provider_file_name", "node",
)  # fmt: skip
_OF_COMPARISONS = (
    "prompt_id", "copy", "prompt", "side", "batch", "partition_key", "provider", "workflow",
    "seed", "status", "images", "s3_uri", "submitted_at", "finished_at", "run_ms", "flotime_ms",
    "cost_usd", "cost_basis", "submission_key", "provider_run_id",
)  # fmt: skip
_OF_REPORTS = (
    "night", "batch", "provider", "day", "runs", "failed", "images", "flotime_ms", "cost_usd",
    "cost_per_image_usd", "estimated_usd", "runs_cost_unknown",
)  # fmt: skip
_MONEY, _TIME = "decimal128(18, 6)", "timestamp[us, tz=UTC]"
_TYPES: Mapping[str, str] = MappingProxyType({
    **dict.fromkeys(("copy", "generation", "outputs", "output_index", "width", "height"), "int32"),
    **dict.fromkeys(("run_ms", "flotime_ms", "size_bytes"), "int64"),
    **dict.fromkeys(("runs", "failed", "runs_cost_unknown"), "int64"),
    **dict.fromkeys(("cost_usd", "cost_per_image_usd", "estimated_usd"), _MONEY),
    **dict.fromkeys(("submitted_at", "finished_at"), _TIME),
    "seed": "uint64",
    "stale": "bool",
})  # fmt: skip
"""Of columns that are no text, as the Arrow schemas of the stored tables have them.

The schemas themselves need pyarrow, which nothing else does that loads a location.
"""

DESCRIPTIONS: Mapping[str, str] = {
    "batch": "Name of the prompt batch.",
    "partition_key": "Partition that the row belongs to; `all` without partitions.",
    "prompt_id": "Identity of the row of the prompt table; by default a hash of its content.",
    "copy": "Which of `runs_per_prompt` runs of the prompt, from 0.",
    "generation": "0 for what was bought first; raised by every regeneration.",
    "prompt": "The prompt, as people are shown it.",
    "seed": "Seed in effect, up to 2^64 − 1; empty where none is sent.",
    "provider": "Service that runs it.",
    "workflow": "What is run: file, URI, id or slug.",
    "parameters": "JSON of every parameter, exactly as it is sent.",
    "submission_key": "Names the submission in the ledger, the bucket and at the provider.",
    "provider_run_id": "The run at the provider; empty until it accepted one.",
    "status": "State of the submission: planned, running, succeeded, failed, unresolved, …",
    "stale": "The row of the prompt table has changed, or is gone, since this was planned.",
    "error_code": "The provider's name for what went wrong.",
    "error_message": "What went wrong, or why it is skipped or unresolved, in words.",
    "submitted_at": "When the provider accepted it, UTC.",
    "finished_at": "When it ended, UTC.",
    "run_ms": "Milliseconds that it ran; where the provider tells no times, at most: until seen.",
    "flotime_ms": "GPU milliseconds that Floyo counted.",
    "cost_usd": "What it cost in USD, exact; empty where nobody knows.",
    "cost_basis": "How the cost is known: charged, estimated, free or unknown.",
    "outputs": "Outputs that the provider gave.",
    "output_index": "Which output of its run, from 0; never changes.",
    "file_name": "Name of the object in the bucket.",
    "media_type": "Such as image/png, by what the file holds; of what is not known here, none.",
    "verified": "How far it was looked into: decoded, recognized, as_is, or damaged.",
    "verified_why": "Why no further, or what is wrong with it.",
    "provider_file_name": "What the provider calls the file.",
    "node": "Node or named output of the workflow that made it, where the provider tells.",
    "width": "Pixels.",
    "height": "Pixels.",
    "size_bytes": "Size of the object.",
    "sha256": "Checksum of the object, in hexadecimal.",
    "s3_uri": "Where the object is.",
}
_OF_AN_IMAGE: Mapping[str, str] = {
    "cost_usd": "Its share of what its run cost, in USD; the shares add up to the cost exactly.",
}

_OF_A_SIDE: Mapping[str, str] = {
    "side": "Which side of the comparison.",
    "images": "Stored pictures of the run.",
    "s3_uri": "Where the first picture is.",
}
_OF_COSTS: Mapping[str, str] = {
    "night": "Partition key; `all` without partitions.",
    "day": "Date that the partition key begins with, else the UTC day of the first purchase.",
    "runs": "Provider runs that exist, of all generations.",
    "failed": "Submissions that failed.",
    "images": "Stored pictures.",
    "flotime_ms": "GPU milliseconds that Floyo counted.",
    "cost_usd": "What is known to have been charged, and what is estimated, in USD; exact.",
    "cost_per_image_usd": "Cost by images, rounded to a micro-dollar; empty without images.",
    "estimated_usd": "The part of the cost that is an estimate.",
    "runs_cost_unknown": "Runs whose cost nobody knows; no sum has them.",
}


def _metadata(
    names: Iterable[str], descriptions: Mapping[str, str], **types: str
) -> dict[str, Any]:
    columns = [
        dg.TableColumn(
            name,
            types.get(name) or _TYPES.get(name, "string"),
            description=descriptions[name],
        )
        for name in names
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


PROMPTS_COLUMNS = _metadata(OF_PLANNING, DESCRIPTIONS)
"""The schema of `<name>/prompts`, as metadata of its definition; the others likewise."""
RUNS_COLUMNS = _metadata(_OF_RUNS, DESCRIPTIONS)
MANIFEST_COLUMNS = _metadata(_OF_IMAGES, {**DESCRIPTIONS, **_OF_AN_IMAGE})
COMPARISON_COLUMNS = _metadata(_OF_COMPARISONS, {**DESCRIPTIONS, **_OF_A_SIDE}, images="int32")
COST_COLUMNS = _metadata(_OF_REPORTS, {**DESCRIPTIONS, **_OF_COSTS}, images="int64")


def shown_table(
    columns: Mapping[str, str], rows: Iterable[Mapping[Any, Any]]
) -> dg.TableMetadataValue:
    """Return a table that Dagster shows beside a materialization.

    `columns` has the type of each: string, int or float. Other values of the rows are left out.
    """
    records = [
        dg.TableRecord({name: _cell(row[name], kind) for name, kind in columns.items()})
        for row in rows
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(*column) for column in columns.items()])
    return dg.MetadataValue.table(records, schema=schema)


def _cell(value: Any, kind: str) -> str | int | float | None:
    """Return a cell as the event log keeps it, which knows no decimals."""
    if value is None:
        return None
    return float(value) if kind == "float" else int(value) if kind == "int" else str(value)
