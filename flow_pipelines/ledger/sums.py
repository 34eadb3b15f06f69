"""Sums over submissions: by state, by night and provider, and by time of purchase."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Text, case, column, func, or_, select, values

from flow_pipelines.ledger.changing import utc_day
from flow_pipelines.ledger.database import Database, chunks, unindexed
from flow_pipelines.ledger.records import CostLine, SpendLine, Tally
from flow_pipelines.ledger.rows import COUNT_COLUMNS, night_of
from flow_pipelines.ledger.schema import budget_days, nights, outputs, submissions
from flow_pipelines.model import ENDED, IN_FLIGHT, CostBasis, Night, SubmissionState

_s = submissions.c
_TALLY = [field.name for field in fields(Tally)]
_has_run = _s.provider_run_id.is_not(None)
_ended = _s.state.in_(sorted(ENDED))
_COST_UNKNOWN = (_s.state == SubmissionState.UNRESOLVED) | (
    _has_run & _ended & _s.cost_usd.is_(None)
)
_SUMS = (
    func.count(_s.provider_run_id).label("runs"),
    func.sum(_s.cost_usd).label("cost_usd"),
    func.sum(case((_s.cost_basis == CostBasis.ESTIMATED, _s.cost_usd))).label("estimated_usd"),
    func.count(case((_COST_UNKNOWN, 1))).label("runs_cost_unknown"),
)


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
                for row in connection.execute(_tallies_query(chunk)).mappings():
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
        query = _cost_query(batches, since)
        with self._database.read() as connection:
            if changed_since is None:
                rows = list(connection.execute(query).mappings())
            else:
                # Batch by batch: a join, or pairs of names, would be looked for in every night.
                rows = []
                for batch, keys in _changed(connection, changed_since).items():
                    for some_keys in chunks(keys):
                        of_batch = query.where(_s.batch == batch, _s.partition_key.in_(some_keys))
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
            for row in rows
        ]

    def spend(self, since: datetime, until: datetime) -> Sequence[SpendLine]:
        """Return what was bought from `since` to before `until`, by provider and batch.

        A submission counts at the time of its intent, as in a provider's daily budget.
        """
        keys = (_s.provider, _s.batch)
        query = (
            select(*keys, *_SUMS)
            .where(_s.submitting_at >= since, _s.submitting_at < until)
            .group_by(*keys)
            .order_by(*keys)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            SpendLine(provider=row["provider"], batch=row["batch"], **_sums(row)) for row in rows
        ]


def _tallies_query(nights: Collection[Night]) -> Select[Any]:
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


def _tally(row: RowMapping) -> Tally:
    facts = {name: row[name] for name in _TALLY}
    state, cost_usd = SubmissionState(row["state"]), row["cost_usd"] or Decimal(0)
    return Tally(**{**facts, "state": state, "cost_usd": cost_usd})


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
    images = (
        select(func.count())
        .select_from(outputs)
        .where(
            outputs.c.submission_key == _s.submission_key,
            outputs.c.stored_at.is_not(None),
            outputs.c.kind == "file",
            or_(outputs.c.verified.is_(None), outputs.c.verified.in_(("decoded", "recognized"))),
        )
        .correlate(submissions)
        .scalar_subquery()
    )
    keys: Sequence[Any] = (_s.batch, _s.partition_key, _s.provider)
    if since is not None:
        # In the order of an index, every submission ever would be walked.
        keys = [unindexed(key).label(key.name) for key in keys]
    query = select(
        *keys,
        *_SUMS,
        func.count(case((_s.state == SubmissionState.FAILED, 1))).label("failed"),
        func.sum(images).label("images"),
        func.sum(_s.flotime_ms).label("flotime_ms"),
        func.min(_s.submitting_at).label("bought_at"),
    )
    if batches is not None:
        query = query.where(_s.batch.in_(sorted(batches)))
    if since is not None:
        query = query.where(_s.planned_at >= since)
    return query.group_by(*keys).order_by(*keys)
