"""Sums of closed nights: taken from the rows before these go, read in their place afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    case,
    func,
    insert,
    select,
    type_coerce,
)

from flow_pipelines.ledger.changing import of_night
from flow_pipelines.ledger.closed_schema import closed_sums
from flow_pipelines.ledger.column_types import to_micros
from flow_pipelines.ledger.database import unindexed
from flow_pipelines.ledger.schema import submissions
from flow_pipelines.ledger.sum_columns import COST_SUMS, END_SUMS
from flow_pipelines.model import Night, SubmissionState

_s, _c = submissions.c, closed_sums.c
DAY = 86_400_000_000
"""A UTC day, in microseconds."""
_NEVER = -1
_MONEY = ("cost_usd", "estimated_usd", "reserved_usd")
_WHOLE = ("images", "flotime_ms")
SUM_NAMES = [c.name for c in closed_sums.columns if c.name not in {"batch", "partition_key"}]


def sums_of(connection: Connection, night: Night) -> Sequence[Mapping[str, Any]]:
    """Sum up an open night's rows: what `closed_sums` will say of it, in a fixed order."""
    day = func.coalesce(type_coerce(_s.submitting_at, BigInteger) // DAY, _NEVER)
    keys = (_s.generation, _s.state, _s.provider, _s.resource, day.label("day"))
    query = (
        select(
            *keys,
            *COST_SUMS,
            *END_SUMS,
            func.count().label("rows"),
            func.sum(_s.reserved_usd).label("reserved_usd"),
            func.min(_s.planned_at).label("planned_at"),
        )
        .where(*of_night(night))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [_whole(row) for row in connection.execute(query).mappings()]


def _whole(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Return sums without gaps: nothing costs 0."""
    filled = {name: row[name] for name in SUM_NAMES}
    filled |= {name: int(row[name] or 0) for name in _WHOLE}
    return filled | {name: row[name] or Decimal(0) for name in _MONEY}


def keep_sums(connection: Connection, night: Night, sums: Sequence[Mapping[str, Any]]) -> None:
    """Write a night's sums."""
    if sums:
        connection.execute(insert(closed_sums), [{**night._asdict(), **part} for part in sums])


def closed_tallies(wanted: Any) -> Select[Any]:
    """Return the query of `sums.tallies_of` over closed nights; `wanted` is a table of nights."""
    keys = (_c.batch, _c.partition_key, _c.generation, _c.state)
    of_wanted = (_c.batch == wanted.c.batch) & (_c.partition_key == wanted.c.partition_key)
    return (
        select(
            *keys,
            func.sum(_c.rows).label("rows"),
            func.sum(_c.cost_usd).label("cost_usd"),
            func.sum(_c.ends).label("ends"),
            func.min(_c.first_end_at).label("first_end_at"),
            func.max(_c.last_end_at).label("last_end_at"),
        )
        .select_from(wanted.join(closed_sums, of_wanted))
        .group_by(*keys)
        .order_by(*keys)
    )


_RUN_SUMS = [
    func.sum(_c[name]).label(name)
    for name in ("runs", "cost_usd", "estimated_usd", "runs_cost_unknown")
]


def closed_costs(batches: Collection[str] | None, since: datetime | None) -> Select[Any]:
    """Return the query of `sums.cost_lines` over closed nights.

    `since` counts a part of a night by when the first of its rows was planned.
    """
    keys: Sequence[Any] = (_c.batch, _c.partition_key, _c.provider)
    if since is not None:
        keys = [unindexed(key).label(key.name) for key in keys]  # as in `sums`
    failed = case((_c.state == SubmissionState.FAILED, _c.rows), else_=0)
    query = select(
        *keys,
        *_RUN_SUMS,
        func.sum(failed).label("failed"),
        func.sum(_c.images).label("images"),
        func.sum(_c.flotime_ms).label("flotime_ms"),
        func.min(_c.bought_at).label("bought_at"),
    )
    narrowed: list[ColumnElement[bool]] = []
    if batches is not None:
        narrowed.append(_c.batch.in_(sorted(batches)))
    if since is not None:
        narrowed.append(_c.planned_at >= since)
    return query.where(*narrowed).group_by(*keys).order_by(*keys)


def closed_spend(since: datetime, until: datetime) -> Select[Any]:
    """Return the query of `sums.spend` over closed nights: whole UTC days, by their beginning."""
    keys = (_c.provider, _c.batch)
    first, end = (-(-to_micros(moment) // DAY) for moment in (since, until))
    return (
        select(*keys, *_RUN_SUMS)
        .where(_c.day >= max(first, 0), _c.day < end)
        .group_by(*keys)
        .order_by(*keys)
    )
