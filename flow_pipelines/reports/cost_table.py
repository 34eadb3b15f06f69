"""The cost report as a table in the bucket, and what it was made from."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flow_pipelines.reports.cost_report import COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_MARK = b"flow_pipelines.cost_report"
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class KnownCosts:
    """A cost report that was written before."""

    frame: pd.DataFrame
    as_of: datetime
    """Every change until then is in it."""


def cost_table(frame: pd.DataFrame, *, ledger_id: str, as_of: datetime) -> pa.Table:
    """Return the table, with a mark of the ledger and the time that it is from."""
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, schema=cost_schema(), preserve_index=False)
    mark = {"version": _VERSION, "ledger_id": ledger_id, "as_of": as_of.isoformat()}
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), _MARK: json.dumps(mark).encode()}
    )


def known_costs(content: bytes | None, *, ledger_id: str) -> KnownCosts | None:
    """Read a table that `cost_table` gave; None where it is from elsewhere, or is no such table."""
    if content is None:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
        mark = json.loads((table.schema.metadata or {})[_MARK])
        if (mark["version"], mark["ledger_id"]) != (_VERSION, ledger_id):
            return None
        frame = table.cast(cost_schema()).to_pandas()
        return KnownCosts(frame=frame[list(COLUMNS)], as_of=datetime.fromisoformat(mark["as_of"]))
    except (pa.ArrowException, KeyError, TypeError, ValueError):
        return None  # it is made anew from the ledger, which alone counts


def table_owner(content: bytes | None) -> str | None:
    """Return the id of the ledger that wrote a table; None where there is none, or no mark."""
    if content is None:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(io.BytesIO(content))
        owner = json.loads((schema.metadata or {})[_MARK])["ledger_id"]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None
    return owner if isinstance(owner, str) and owner else None


def cost_schema() -> pa.Schema:
    """Return the columns of the table."""
    import pyarrow as pa

    money: Any = pa.decimal128(18, 6)
    types = {
        "night": pa.string(),
        "batch": pa.string(),
        "provider": pa.string(),
        "day": pa.string(),
        "runs": pa.int64(),
        "failed": pa.int64(),
        "images": pa.int64(),
        "flotime_ms": pa.int64(),
        "cost_usd": money,
        "cost_per_image_usd": money,
        "estimated_usd": money,
        "runs_cost_unknown": pa.int64(),
    }
    return pa.schema([(name, types[name]) for name in COLUMNS])
