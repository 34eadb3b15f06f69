"""Sums over submissions: by state, by night and provider, and by time of purchase.

A closed night has no submissions any more, and is summed up from what was kept of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Text, case, column, func, select, values

from flow_pipelines.ledger.changing import utc_day
from flow_pipelines.ledger.closed_schema import closed_sums
from flow_pipelines.ledger.closed_sums import closed_costs, closed_spend, closed_tallies
from flow_pipelines.ledger.database import Database, chunks, unindexed
from flow_pipelines.ledger.records import CostLine, SpendLine, Tally
from flow_pipelines.ledger.rows import COUNT_COLUMNS, night_of
from flow_pipelines.ledger.schema import budget_days, nights, submissions
from flow_pipelines.ledger.sum_columns import COST_SUMS, END_SUMS, SUMS
from flow_pipelines.model import IN_FLIGHT, Night, SubmissionState

_s = submissions.c
_TALLY = [field.name for field in fields(Tally) if field.name != "last_sent_at"]
_SUMMED = ("runs", "cost_usd", "estimated_usd", "runs_cost_unknown")


class Sums:
    """Counts and costs; `contract` says what holds for every method."""

    _database: Database

    def counts_by_state(self, batches: Collection[str]) -> Mapping[SubmissionState, int]:
        """Return how many submissions are in each state, all generations; absent where none are."""
        sums = (func.sum(nights.c[name]) for name in COUNT_COLUMNS.values())
        query = select(*sums).where(nights.c.batch.in_(sorted(batches)))
        with self._database.read() as connection:
            counts = connection.execute(query).one()
        return {state: int(n) for state, n in zip(COUNT_COLUMNS, counts, strict=True) if n}

    def tallies(self, night: Night) -> Sequence[Tally]:
        """Sum a night up, by generation and state."""
        return self.tallies_of([night])[night]

    def tallies_of(self, wanted: Collection[Night]) -> Mapping[Night, Sequence[Tally]]:
        """Sum up each of these nights; nothing where it has no submissions."""
        tallies: dict[Night, list[Tally]] = {night: [] for night in wanted}
        with self._database.read() as connection:
            for chunk in chunks(sorted(tallies)):
                wanted_nights = _as_table(chunk)
                for query in (_open_tallies(wanted_nights), closed_tallies(wanted_nights)):
                    for row in connection.execute(query).mappings():
                        tallies[night_of(row)].append(_tally(row))
        return tallies

    def reserved_usd(self, resource: str, day: datetime) -> Decimal:
        """Return what counts against the account's daily budget on the UTC day of `day`."""
        columns = budget_days.c
        query = select(columns.reserved_usd).where(
            columns.resource == resource, columns.day == utc_day(day)
        )
        with self._database.read() as connection:
            reserved: Decimal | None = connection.execute(query).scalar_one_or_none()
        return Decimal(0) if reserved is None else reserved

    def cost_lines(
        self,
        batches: Collection[str] | None = None,
        *,
        since: datetime | None = None,
        changed_since: datetime | None = None,
    ) -> Sequence[CostLine]:
        """Return cost by night and provider, for submissions planned since `since`.

        `changed_since` leaves out nights whose revision was raised before it; the others are
        given whole.
        """
        summed = (
            (_cost_query(batches, since), submissions),
            (closed_costs(batches, since), closed_sums),
        )
        rows: list[RowMapping] = []
        with self._database.read() as connection:
            if changed_since is None:
                for query, _ in summed:
                    rows += connection.execute(query).mappings()
            else:
                # Batch by batch: a join, or pairs of names, would be looked for in every night.
                for batch, keys in _changed(connection, changed_since).items():
                    for some_keys, (query, table) in product(chunks(keys), summed):
                        of_batch = query.where(
                            table.c.batch == batch, table.c.partition_key.in_(some_keys)
                        )
                        rows += connection.execute(of_batch).mappings()
        return [
            CostLine(
                night=night_of(row),
                provider=row["provider"],
                failed=int(row["failed"]),
                images=int(row["images"] or 0),
                flotime_ms=int(row["flotime_ms"] or 0),
                bought_at=row["bought_at"],
                **_sums(row),
            )
            for row in sorted(rows, key=lambda row: (*night_of(row), row["provider"]))
        ]

    def spend(self, since: datetime, until: datetime) -> Sequence[SpendLine]:
        """Return what was bought from `since` to before `until`, by provider and batch.

        A submission counts at the time of its intent, as in a provider's daily budget; one of a
        closed night at the beginning of that UTC day.
        """
        keys = (_s.provider, _s.batch)
        query = (
            select(*keys, *SUMS)
            .where(_s.submitting_at >= since, _s.submitting_at < until)
            .group_by(*keys)
            .order_by(*keys)
        )
        sums: dict[tuple[str, str], dict[str, Any]] = {}
        with self._database.read() as connection:
            for summed in (query, closed_spend(since, until)):
                for row in connection.execute(summed).mappings():
                    key, found = (row["provider"], row["batch"]), _sums(row)
                    known = sums.setdefault(key, dict.fromkeys(_SUMMED, 0))
                    sums[key] = {name: known[name] + found[name] for name in _SUMMED}
        return [
            SpendLine(provider=provider, batch=batch, **sums[provider, batch])
            for provider, batch in sorted(sums)
        ]


def _as_table(nights: Collection[Night]) -> Any:
    """Return nights as a table to begin with: SQLite reads all rows ever for `(…, …) IN (…)`."""
    columns = (column("batch", Text), column("partition_key", Text))
    return values(*columns, name="wanted").data([tuple(night) for night in nights]).cte("wanted")


def _open_tallies(wanted: Any) -> Select[Any]:
    """Return the query of one row for each night, generation and state."""
    accepted = func.coalesce(_s.submitted_at, _s.submitting_at, _s.planned_at)
    sent = case((_s.state.in_(sorted(IN_FLIGHT)), accepted))
    keys = (_s.batch, _s.partition_key, _s.generation, _s.state)
    of_wanted = (_s.batch == wanted.c.batch) & (_s.partition_key == wanted.c.partition_key)
    return (
        select(
            *keys,
            func.count().label("rows"),
            func.sum(_s.cost_usd).label("cost_usd"),
            *END_SUMS,
            func.max(sent).label("last_sent_at"),
        )
        .select_from(wanted.join(submissions, of_wanted))
        .group_by(*keys)
        .order_by(*keys)
    )


def _tally(row: RowMapping) -> Tally:
    facts = {name: row[name] for name in _TALLY}
    facts |= {name: int(row[name]) for name in ("rows", "ends")}
    state, cost_usd = SubmissionState(row["state"]), row["cost_usd"] or Decimal(0)
    return Tally(
        **{**facts, "state": state, "cost_usd": cost_usd}, last_sent_at=row.get("last_sent_at")
    )


def _sums(row: RowMapping) -> dict[str, Any]:
    return {
        "runs": int(row["runs"]),
        "cost_usd": row["cost_usd"] or Decimal(0),
        "estimated_usd": row["estimated_usd"] or Decimal(0),
        "runs_cost_unknown": int(row["runs_cost_unknown"]),
    }


def _changed(connection: Connection, since: datetime) -> dict[str, list[str]]:
    """Return the partition keys of the nights that changed, by batch."""
    columns = nights.c
    query = select(columns.batch, columns.partition_key).where(columns.changed_at >= since)
    partition_keys: dict[str, list[str]] = {}
    # Sorted here: ORDER BY makes the database scan the index from the first night.
    for batch, partition_key in sorted(tuple(row) for row in connection.execute(query)):
        partition_keys.setdefault(batch, []).append(partition_key)
    return partition_keys


def _cost_query(batches: Collection[str] | None, since: datetime | None) -> Select[Any]:
    keys: Sequence[Any] = (_s.batch, _s.partition_key, _s.provider)
    if since is not None:
        # In the order of an index, every submission ever would be walked.
        keys = [unindexed(key).label(key.name) for key in keys]
    query = select(*keys, *COST_SUMS)
    if batches is not None:
        query = query.where(_s.batch.in_(sorted(batches)))
    if since is not None:
        query = query.where(_s.planned_at >= since)
    return query.group_by(*keys).order_by(*keys)
