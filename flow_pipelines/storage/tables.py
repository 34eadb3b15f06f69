"""The two tables of a night: a row a submission, a row a stored output."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipelines.model.output import Output, StoredFacts
from flow_pipelines.model.submission import Submission
from flow_pipelines.model.wording import reported_problem
from flow_pipelines.storage.places import uri_of

PARQUET = "application/vnd.apache.parquet"
_MICRO = 6
_MONEY = pa.decimal128(18, _MICRO)
_TIME = pa.timestamp("us", tz="UTC")
_SEED = pa.uint64()  # ComfyUI's seeds go up to 2^64 − 1

_IDENTITY = (
    ("batch", pa.string()),
    ("partition_key", pa.string()),
    ("prompt_id", pa.string()),
    ("copy", pa.int32()),
    ("generation", pa.int32()),
    ("prompt", pa.string()),
    ("seed", _SEED),
    ("provider", pa.string()),
)

RUNS_SCHEMA = pa.schema([
    *_IDENTITY,
    ("workflow", pa.string()),
    ("parameters", pa.string()),
    ("submission_key", pa.string()),
    ("provider_run_id", pa.string()),
    ("status", pa.string()),
    ("stale", pa.bool_()),
    ("error_code", pa.string()),
    ("error_message", pa.string()),
    ("submitted_at", _TIME),
    ("finished_at", _TIME),
    ("run_ms", pa.int64()),
    ("flotime_ms", pa.int64()),
    ("cost_usd", _MONEY),
    ("cost_basis", pa.string()),
    ("outputs", pa.int32()),
])  # fmt: skip

MANIFEST_SCHEMA = pa.schema([
    *_IDENTITY,
    ("submission_key", pa.string()),
    ("provider_run_id", pa.string()),
    ("output_index", pa.int32()),
    ("file_name", pa.string()),
    ("media_type", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("size_bytes", pa.int64()),
    ("sha256", pa.string()),
    ("s3_uri", pa.string()),
    ("cost_usd", _MONEY),
    ("verified", pa.string()),
    ("verified_why", pa.string()),
    ("provider_file_name", pa.string()),
    ("node", pa.string()),
])  # fmt: skip


def runs_table(
    submissions: Iterable[Submission], outputs: Mapping[str, Sequence[Output]]
) -> pa.Table:
    """Return a row a submission, in the prompt table's order; `outputs` is by submission key.

    Where the provider named no error, `error_message` has our reason for the state.
    """
    rows = [
        _run_row(submission, len(outputs.get(submission.submission_key, ())))
        for submission in _in_order(submissions)
    ]
    return _table(rows, RUNS_SCHEMA)


def manifest_table(
    submissions: Iterable[Submission],
    outputs: Mapping[str, Sequence[Output]],
) -> pa.Table:
    """Return a row a stored output of any generation, with where it is; null where nobody knows.

    The `cost_usd` of a run's rows add up to the run's cost exactly; null where it is unknown.
    """
    rows: list[dict[str, Any]] = []
    for submission in _in_order(submissions):
        known = outputs.get(submission.submission_key, ())
        stored = sorted(
            (output for output in known if output.stored), key=lambda output: output.output_index
        )
        shares = cost_shares(submission.cost_usd, len(stored))
        rows += [
            _identity(submission) | _image_row(output) | {"cost_usd": share}
            for output, share in zip(stored, shares, strict=True)
        ]
    return _table(rows, MANIFEST_SCHEMA)


def cost_shares(cost_usd: Decimal | None, count: int) -> list[Decimal | None]:
    """Split a cost in `count` parts of whole micro-dollars that add up to it exactly.

    What does not divide goes to the first parts, a micro-dollar each.

    Raises: ValueError, for a cost with a fraction of a micro-dollar.
    """
    if cost_usd is None or not count:
        return [None] * count
    micro = cost_usd.scaleb(_MICRO)
    if micro != micro.to_integral_value():
        raise ValueError(f"{cost_usd} USD is not a whole number of micro-dollars")
    share, rest = divmod(int(micro), count)
    return [Decimal(share + (index < rest)).scaleb(-_MICRO) for index in range(count)]


def parquet_bytes(table: pa.Table) -> bytes:
    """Return any table as a Parquet file; equal tables give equal bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


class ParquetFile:
    """A Parquet file in the making, page by page: only what it compresses to stays in memory."""

    def __init__(self, schema: pa.Schema) -> None:
        """Begin with no rows."""
        self._buffer = io.BytesIO()
        self._writer = pq.ParquetWriter(self._buffer, _noted(schema), compression="zstd")

    def add(self, page: pa.Table) -> None:
        """Add the rows of a table of the file's schema."""
        self._writer.write_table(page)

    def content(self) -> bytes:
        """Return the file. Nothing can be added then."""
        self._writer.close()
        return self._buffer.getvalue()


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_noted(schema))


@cache
def _noted(schema: pa.Schema) -> pa.Schema:
    """Note in a schema that pandas is to read whole numbers as such, also where some are missing.

    Without the note such a column becomes floats, which round seeds above 2^53.
    """
    import pandas as pd

    exact: dict[pa.DataType, Any] = {
        pa.uint64(): pd.UInt64Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
    }
    frame = schema.empty_table().to_pandas(types_mapper=exact.get)
    noted = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    return schema.with_metadata(noted.schema.metadata)


def _in_order(submissions: Iterable[Submission]) -> list[Submission]:
    """Sort as the ledger gives them, so that pages of a night follow one another."""
    return sorted(submissions, key=lambda s: (s.row_number, s.copy, s.generation))


def _identity(submission: Submission) -> dict[str, Any]:
    return {
        "batch": submission.night.batch,
        "partition_key": submission.night.partition_key,
        "prompt_id": submission.prompt_id,
        "copy": submission.copy,
        "generation": submission.generation,
        "prompt": _utf8(submission.prompt),
        "seed": submission.seed,
        "provider": submission.provider,
        "submission_key": submission.submission_key,
        "provider_run_id": submission.provider_run_id,
    }


def _run_row(submission: Submission, outputs: int) -> dict[str, Any]:
    return _identity(submission) | {
        "workflow": submission.workflow,
        "parameters": _utf8(json.dumps(submission.parameters, ensure_ascii=False)),
        "status": submission.state.value,
        "stale": submission.stale,
        "error_code": submission.error_code,
        "error_message": _utf8(reported_problem(submission) or None),
        "submitted_at": submission.submitted_at,
        "finished_at": submission.finished_at,
        "run_ms": submission.run_ms,
        "flotime_ms": submission.flotime_ms,
        "cost_usd": submission.cost_usd,
        "cost_basis": submission.cost_basis.value,
        "outputs": outputs,
    }


def _image_row(output: Output) -> dict[str, Any]:
    facts = output.stored
    if facts is None:
        raise ValueError(f"output {output.output_index} of {output.submission_key} is not stored")
    return {
        "output_index": output.output_index,
        "file_name": facts.s3_key.rpartition("/")[2],
        "media_type": facts.media_type,
        "width": facts.width,
        "height": facts.height,
        "size_bytes": facts.size_bytes,
        "sha256": facts.sha256,
        "s3_uri": uri_of(facts),
        "verified": facts.verified or _verified_before(facts),
        "verified_why": _utf8(facts.verified_why),
        "provider_file_name": _utf8(output.file_name),
        "node": _utf8(output.node),
    }


def _verified_before(facts: StoredFacts) -> str:
    """Return how far versions went that kept nothing but what they decoded or recognized."""
    decoded = facts.width is not None or facts.media_type.startswith("text/")
    return "decoded" if decoded else "recognized"


def _utf8(text: str | None) -> str | None:
    """Replace lone surrogates: JSON can carry them, Parquet cannot."""
    return text if text is None else text.encode("utf-8", "replace").decode("utf-8")
