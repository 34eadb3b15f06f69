"""Nights summed up by generation and state, many of them in one query."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, Text, case, column, func, select, values

from flow_pipelines.ledger.records import Tally
from flow_pipelines.ledger.schema import submissions
from flow_pipelines.model import IN_FLIGHT, Night, SubmissionState

_s = submissions.c


def tallies_query(nights: Collection[Night]) -> Select[Any]:
    """Return the query of one row for each night, generation and state."""
    ends = case((_s.provider_run_id.is_not(None), _s.finished_at))
    accepted = func.coalesce(_s.submitted_at, _s.submitting_at, _s.planned_at)
    sent = case((_s.state.in_(sorted(IN_FLIGHT)), accepted))
    keys = (_s.batch, _s.partition_key, _s.generation, _s.state)
    # As a table to begin with: SQLite reads all submissions ever for `(…, …) IN (…)`.
    columns = (column("batch", Text), column("partition_key", Text))
    wanted = values(*columns, name="wanted").data([tuple(night) for night in nights]).cte("wanted")
    of_wanted = (_s.batch == wanted.c.batch) & (_s.partition_key == wanted.c.partition_key)
    return (
        select(
            *keys,
            func.count().label("rows"),
            func.sum(_s.cost_usd).label("cost_usd"),
            func.count(ends).label("ends"),
            func.min(ends).label("first_end_at"),
            func.max(ends).label("last_end_at"),
            func.max(sent).label("last_sent_at"),
        )
        .select_from(wanted.join(submissions, of_wanted))
        .group_by(*keys)
        .order_by(*keys)
    )


def tally(row: Any) -> Tally:
    """Read a row of `tallies_query`."""
    return Tally(
        generation=row.generation,
        state=SubmissionState(row.state),
        rows=row.rows,
        cost_usd=row.cost_usd or Decimal(0),
        ends=row.ends,
        first_end_at=row.first_end_at,
        last_end_at=row.last_end_at,
        last_sent_at=row.last_sent_at,
    )
