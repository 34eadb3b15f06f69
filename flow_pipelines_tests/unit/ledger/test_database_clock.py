"""The database's time: what is read too slowly is read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flow_pipelines.ledger.database_clock import DatabaseClock
from flow_pipelines_tests.fakes import ManualClock

TRUE = datetime(2026, 11, 2, tzinfo=UTC)


class SlowAtFirst:
    """A connection whose first answer takes 5 s."""

    def __init__(self, host: ManualClock) -> None:
        self.host, self.reads = host, 0

    def execute(self, _query: object) -> SlowAtFirst:
        self.reads += 1
        if self.reads == 1:
            self.host.advance(5)
        return self

    def one(self) -> tuple[datetime]:
        return (TRUE,)


def test_a_reading_that_took_long_is_repeated() -> None:
    host = ManualClock()
    connection, clock = SlowAtFirst(host), DatabaseClock(host)
    clock.read(connection)  # type: ignore[arg-type]
    assert connection.reads == 2
    assert clock.now() == TRUE
    host.advance(1)
    assert clock.now() == TRUE + timedelta(seconds=1)
