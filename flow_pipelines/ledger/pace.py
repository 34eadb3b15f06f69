"""Turns under a rate limit, kept in the ledger's database for every process of an account."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, select, update

from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.schema import pace


class SqlPaceStore:
    """The pace of every account, one row each; see `provider.PaceStore`.

    The row holds the moment at which the account would be fully rested (GCRA's theoretical arrival
    time): a turn moves it one interval on and may begin `burst − 1` intervals before it.
    """

    def __init__(self, database: Database) -> None:
        """Keep the pace in `database`."""
        self._database = database

    def reserve(
        self, key: str, *, interval_seconds: float, burst: int, patience_seconds: float
    ) -> float | None:
        """Reserve the next turn of `key`; give the seconds to wait for it, 0 for at once.

        None: it would be more than `patience_seconds`; nothing was reserved.
        """
        interval = timedelta(seconds=interval_seconds)
        with self._database.write() as connection:
            row = self._lock(connection, key)
            # Read under the lock: a turn is never counted from before somebody else's.
            now = self._database.clock.now()
            rested_at = max(row["rested_at"] or now, now)
            turn_at = max(rested_at - (burst - 1) * interval, now, row["held_until"] or now)
            wait = (turn_at - now).total_seconds()
            if wait > patience_seconds:
                return None
            self._write(connection, key, rested_at=max(rested_at, turn_at) + interval)
        return wait

    def hold_until(self, key: str, until: datetime) -> None:
        """Let no turn of `key` begin before `until`; never shortens a hold."""
        with self._database.write() as connection:
            row = self._lock(connection, key)
            if row["held_until"] is None or row["held_until"] < until:
                self._write(connection, key, held_until=until)

    def _lock(self, connection: Connection, key: str) -> RowMapping:
        query = self._database.upsert(pace).values(key=key)
        connection.execute(query.on_conflict_do_nothing())
        locked = select(pace).where(pace.c.key == key).with_for_update()
        return connection.execute(locked).mappings().one()

    def _write(self, connection: Connection, key: str, **values: datetime) -> None:
        connection.execute(update(pace).where(pace.c.key == key).values(values))
