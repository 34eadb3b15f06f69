"""Cost queries: by night and provider, and by time of purchase."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, case, func, or_, select

from flow_pipelines.ledger.database import Database, chunks, unindexed
from flow_pipelines.ledger.records import CostLine, SpendLine
from flow_pipelines.ledger.schema import nights, outputs, submissions
from flow_pipelines.model import ENDED, CostBasis, Night, SubmissionState

_s = submissions.c
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


class Costs:
    """Cost queries."""

    _database: Database

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
                found = list(connection.execute(query).mappings())
            else:
                # Batch by batch: a join, or pairs of names, would be looked for in every night.
                found = []
                for batch, keys in _changed(connection, changed_since).items():
                    for some in chunks(keys):
                        mine = query.where(_s.batch == batch, _s.partition_key.in_(some))
                        found += connection.execute(mine).mappings()
        return [
            CostLine(
                night=Night(row["batch"], row["partition_key"]),
                provider=row["provider"],
                failed=int(row["failed"]),
                images=int(row["images"] or 0),
                flotime_ms=int(row["flotime_ms"] or 0),
                bought_at=row["bought_at"],
                **_sums(row),
            )
            for row in found
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
            found = connection.execute(query).mappings().all()
        return [
            SpendLine(provider=row["provider"], batch=row["batch"], **_sums(row)) for row in found
        ]


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
    found: dict[str, list[str]] = {}
    # Sorted here: ORDER BY makes the database scan the index from the first night.
    for batch, partition_key in sorted(tuple(row) for row in connection.execute(query)):
        found.setdefault(batch, []).append(partition_key)
    return found


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
