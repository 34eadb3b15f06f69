"""What the ledger still knows of closed nights, and runs that callbacks name for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select, update

from flow_pipelines.ledger.changing import of_night
from flow_pipelines.ledger.closed_records import ClosedLine, ClosedNight, ClosedSubmission, LateRun
from flow_pipelines.ledger.closed_schema import closed_nights, closed_runs, closed_sums, late_runs
from flow_pipelines.ledger.column_types import storable
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.rows import night_of
from flow_pipelines.ledger.schema import nights
from flow_pipelines.model import Night
from flow_pipelines.model.errors import LedgerError

MOST_LATE_RUNS = 20
"""Runs that are kept of what callbacks named for one submission of a closed night."""
_n, _r, _l = closed_nights.c, closed_runs.c, late_runs.c


class Closed:
    """Reads closed nights; `contract` says what holds for every method."""

    _database: Database

    def closed_night(self, night: Night) -> ClosedNight | None:
        """Return where a closed night's archive is; None: it is open, or not known."""
        query = select(closed_nights).where(*of_night(night, closed_nights))
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        return ClosedNight(
            night=night,
            archive=row["archive"],
            digest=row["digest"],
            ledger_ids=tuple(row["ledger_ids"]),
        )

    def closed_lines(
        self,
        *,
        batch: str | None = None,
        partition_key: str | None = None,
        provider: str | None = None,
        limit: int = 100,
    ) -> Sequence[ClosedLine]:
        """Return closed nights, a line each, by batch and partition key, the last first."""
        query = select(_n.batch, _n.partition_key).order_by(
            _n.batch.desc(), _n.partition_key.desc()
        )
        if batch is not None:
            query = query.where(_n.batch == batch)
        if partition_key is not None:
            query = query.where(_n.partition_key == partition_key)
        if provider is not None:
            part = select(closed_sums.c.day).where(
                closed_sums.c.batch == _n.batch,
                closed_sums.c.partition_key == _n.partition_key,
                closed_sums.c.provider == provider,
            )
            query = query.where(part.exists())
        with self._database.read() as connection:
            found = connection.execute(query.limit(limit)).mappings()
            return [_line(connection, night_of(row)) for row in found.all()]

    def closed_submission(self, key: str) -> ClosedSubmission | None:
        """Return a submission of a closed night by its key, or by a beginning that fits only one.

        Raises: LedgerError, where several fit.
        """
        # Keys are hex digits: nothing of theirs sorts behind a tilde.
        query = select(closed_runs).where(_r.submission_key >= key, _r.submission_key <= f"{key}~")
        with self._database.read() as connection:
            rows = connection.execute(query.limit(2)).mappings().all()
        if len(rows) > 1 and rows[0]["submission_key"] != key:
            raise LedgerError(f"several submissions of closed nights begin with {key}")
        if not rows:
            return None
        return ClosedSubmission(
            submission_key=rows[0]["submission_key"],
            night=night_of(rows[0]),
            provider=rows[0]["provider"],
            provider_run_id=rows[0]["provider_run_id"],
        )

    def late_runs(self, night: Night, limit: int = 100) -> Sequence[LateRun]:
        """Return runs that callbacks named for a closed night's submissions, the latest first."""
        query = (
            select(late_runs, _r.provider_run_id.label("own"))
            .join(closed_runs, _r.submission_key == _l.submission_key)
            .where(*of_night(night, late_runs))
            .order_by(_l.heard_at.desc(), _l.submission_key, _l.provider_run_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_late_run(row) for row in connection.execute(query).mappings()]

    def note_late_run(self, submission_key: str, provider_run_id: str | None) -> LateRun | None:
        """Keep what a callback named for a submission of a closed night; None: its own run.

        Again is fine, and keeps the first time. Of runs that are not its own some are kept, and
        further ones are not. None, too, where the submission had no run, or belongs to no such
        night.
        """
        with self._database.write() as connection:
            of_key = select(closed_runs).where(_r.submission_key == submission_key)
            row = connection.execute(of_key).mappings().one_or_none()
            named = provider_run_id and storable(provider_run_id)
            run_id = named or (row and row["provider_run_id"])
            if row is None or not run_id:
                return None
            values = {
                **{name: row[name] for name in ("batch", "partition_key", "provider")},
                "heard_at": self._database.clock.now(),
            }
            if run_id == row["provider_run_id"] or _has_room(connection, submission_key):
                query = self._database.upsert(late_runs).values(
                    submission_key=submission_key, provider_run_id=run_id, **values
                )
                connection.execute(query.on_conflict_do_nothing())
            return LateRun(
                submission_key=submission_key,
                provider_run_id=run_id,
                is_its_own=run_id == row["provider_run_id"],
                heard_at=values["heard_at"],
                settled_why=None,
            )

    def settle_late_run(self, submission_key: str, provider_run_id: str, why: str) -> None:
        """Note what a person found out about a run that a callback named for a closed night.

        Raises: LedgerError, when none such is known.
        """
        run_id = storable(provider_run_id)
        query = update(late_runs).where(
            _l.submission_key == submission_key, _l.provider_run_id == run_id
        )
        with self._database.write() as connection:
            if not connection.execute(query.values(settled_why=why)).rowcount:
                raise LedgerError(f"no callback named {run_id} for {submission_key}")


def closed_owners(
    connection: Connection, provider: str, provider_run_ids: Collection[str]
) -> Mapping[str, str]:
    """Return whose those of these runs are that belong to closed nights, by run."""
    owners: dict[str, str] = {}
    for chunk in chunks(sorted(set(provider_run_ids))):
        for columns in (_l, _r):
            query = select(columns.provider_run_id, columns.submission_key).where(
                columns.provider == provider,
                columns.provider_run_id.in_(chunk),
                columns.provider_run_id.is_not(None),  # lets the partial index answer
            )
            owners |= {row[0]: row[1] for row in connection.execute(query)}
    return owners


def closed_run_ids(
    connection: Connection, provider: str, provider_run_ids: Collection[str]
) -> AbstractSet[str]:
    """Return those of these runs that belong to closed nights."""
    return closed_owners(connection, provider, provider_run_ids).keys()


def _has_room(connection: Connection, submission_key: str) -> bool:
    query = select(func.count()).where(_l.submission_key == submission_key)
    return int(connection.execute(query).scalar_one()) < MOST_LATE_RUNS


def _late_run(row: Any) -> LateRun:
    return LateRun(
        submission_key=row["submission_key"],
        provider_run_id=row["provider_run_id"],
        is_its_own=row["provider_run_id"] == row["own"],
        heard_at=row["heard_at"],
        settled_why=row["settled_why"],
    )


def _line(connection: Connection, night: Night) -> ClosedLine:
    closed_at = connection.execute(
        select(nights.c.closed_at).where(*of_night(night, nights))
    ).scalar_one()
    parts = (
        connection.execute(select(closed_sums).where(*of_night(night, closed_sums)))
        .mappings()
        .all()
    )
    counts: Counter[str] = Counter()
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for part in parts:
        counts[part["state"]] += part["rows"]
        costs[part["resource"]] += part["cost_usd"]
    return ClosedLine(
        night=night,
        closed_at=closed_at,
        counts=dict(sorted(counts.items())),
        images=sum(part["images"] for part in parts),
        flotime_ms=sum(part["flotime_ms"] for part in parts),
        cost_usd=sum(costs.values(), Decimal(0)),
        runs_cost_unknown=sum(part["runs_cost_unknown"] for part in parts),
        by_account=dict(sorted(costs.items())),
    )
