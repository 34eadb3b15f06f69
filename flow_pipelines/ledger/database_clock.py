"""The time that all hosts of a ledger on PostgreSQL share: the database's, not their own."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from flow_pipelines.clock import Clock

KEPT_SECONDS = 60.0
"""How long a reading is counted on from by the host's monotonic clock, if nothing is written."""
# now() would stand still for as long as a transaction takes.
_READ = text("SELECT clock_timestamp()")


class DatabaseClock:
    """Time as the database tells it. Safe to share between threads.

    Every writing transaction reads it anew, so a lease is judged by no host's own clock; in between
    the host's monotonic clock is counted on. `sleep` and `monotonic` are the host's.
    """

    def __init__(self, engine: Engine, host: Clock) -> None:
        """Read the time. Raises: SQLAlchemyError."""
        self._engine, self.host = engine, host
        self.monotonic, self.sleep = host.monotonic, host.sleep
        self._lock = threading.Lock()
        with engine.connect() as connection:
            self.read(connection)

    def now(self) -> datetime:
        """Return the present as an aware datetime in UTC."""
        with self._lock:
            at, read = self._at, self._read
        if self.monotonic() - at > KEPT_SECONDS:
            try:
                with self._engine.connect() as connection:
                    return self.read(connection)
            except SQLAlchemyError:
                pass  # whoever needs the database next says so; the host's quartz is exact enough
        return read + timedelta(seconds=self.monotonic() - at)

    def read(self, connection: Connection) -> datetime:
        """Read the time anew, within a transaction or not."""
        before = self.monotonic()
        read: datetime = connection.execute(_READ).scalar_one()
        after = self.monotonic()
        with self._lock:
            # The answer is from some moment in between.
            self._at, self._read = (before + after) / 2, read.astimezone(UTC)
        return self._read + timedelta(seconds=after - self._at)

    def skew(self) -> timedelta:
        """Return how far the host's own clock is ahead; negative: behind."""
        return self.host.now() - self.now()
