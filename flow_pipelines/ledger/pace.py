"""Rate-limit turns of each account, shared by all processes through the ledger's database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.patience import repeats
from flow_pipelines.ledger.schema import pace
from flow_pipelines.provider import TurnRequest
from flow_pipelines.provider.turns import TurnSheet


@repeats
class SqlPaceStore:
    """The turns of every account, one row each; see `provider.PaceStore`."""

    def __init__(self, database: Database) -> None:
        """Keep the pace in `database`."""
        self._database = database

    def reserve(self, key: str, ask: TurnRequest) -> float | None:
        """Reserve the next turn of `key`; see `provider.PaceStore`."""
        with self._database.write() as connection:
            row = self._lock(connection, key)
            sheet = TurnSheet.read(row["sheet"])
            # Read under the lock: a turn is never counted from before somebody else's.
            wait = sheet.book(ask, self._database.clock.now(), row["held_until"])
            self._write(connection, key, sheet=sheet.stored())
        return wait

    def hold_until(self, key: str, until: datetime) -> None:
        """Hold back turns of `key` until `until`; never shortens a hold."""
        with self._database.write() as connection:
            row = self._lock(connection, key)
            if row["held_until"] is None or row["held_until"] < until:
                self._write(connection, key, held_until=until)

    def held_until(self, key: str) -> datetime | None:
        """Return when `key` is free again; None: it is not held now."""
        query = select(pace.c.held_until).where(pace.c.key == key)
        with self._database.read() as connection:
            until = connection.execute(query).scalar_one_or_none()
        return until if until is not None and until > self._database.clock.now() else None

    def slow_down(self, key: str) -> None:
        """Slow down the turns of `key`; see `provider.PaceStore`."""
        with self._database.write() as connection:
            sheet = TurnSheet.read(self._lock(connection, key)["sheet"])
            sheet.cut(self._database.clock.now())
            self._write(connection, key, sheet=sheet.stored())

    def _lock(self, connection: Connection, key: str) -> RowMapping:
        query = self._database.upsert(pace).values(key=key)
        connection.execute(query.on_conflict_do_nothing())
        locked = select(pace).where(pace.c.key == key).with_for_update()
        return connection.execute(locked).mappings().one()

    def _write(self, connection: Connection, key: str, **values: Any) -> None:
        connection.execute(update(pace).where(pace.c.key == key).values(values))
