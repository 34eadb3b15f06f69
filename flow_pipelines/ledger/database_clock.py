"""The time that all hosts of a ledger on PostgreSQL share: the database's, not their own."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, TextClause, text

from flow_pipelines.clock import Clock, SystemClock

_LONGEST_SECONDS = 1.0
"""A slower reading is repeated: its error may be half of what it took."""
_TRIES = 3
# now() would stand still for as long as a transaction takes.
_READ = text("SELECT clock_timestamp()")
# Linux alone has a clock that goes on while the machine sleeps; no test puts one to sleep.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class DatabaseClock:
    """Time as the database tells it. Safe to share between threads.

    Every transaction reads it as it begins, so a lease is judged by no host's own clock; between
    readings the host's monotonic clock is added, so `now` never waits. `sleep` and `monotonic` are
    the host's.
    """

    def __init__(self, host: Clock) -> None:
        """Tell no time before the first transaction."""
        self.host = host
        self.monotonic, self.sleep = host.monotonic, host.sleep
        self._count = _since_boot if isinstance(host, SystemClock) else host.monotonic
        self._reading: tuple[float, datetime] = 0.0, datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the present as an aware datetime in UTC."""
        with self._lock:
            at, read = self._reading
        return read + timedelta(seconds=self._count() - at)

    def read(self, connection: Connection, query: TextClause = _READ) -> None:
        """Read the time anew, in the last column of what `query` selects; it may be repeated."""
        for _ in range(_TRIES):
            if self._read_once(connection, query) <= _LONGEST_SECONDS:
                break

    def _read_once(self, connection: Connection, query: TextClause) -> float:
        """Return how many seconds it took."""
        before = self._count()
        read: datetime = connection.execute(query).one()[-1]
        took = self._count() - before
        with self._lock:
            # The answer is from some moment in between.
            self._reading = before + took / 2, read.astimezone(UTC)
        return took

    def skew(self) -> timedelta:
        """Return how far the host's own clock is ahead; negative: behind."""
        return self.host.now() - self.now()


def _since_boot() -> float:
    return time.clock_gettime(_SINCE_BOOT)
