"""Behind pgbouncer in transaction mode: each transaction may have another server connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model.errors import LedgerBusy
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
)
from flow_pipelines_tests.databases import PostgresServer
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.pgbouncer import needs_pgbouncer, pgbouncer

pytestmark = needs_pgbouncer

ROWS = 8
OURS = (
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "search_path",
)
Through = Callable[[str], str]


@pytest.fixture
def direct_url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.empty_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def one_connection(direct_url: str) -> Iterator[str]:
    """Return the URL of an empty database through a pool of one server connection."""
    with pgbouncer(direct_url) as through:
        yield through(direct_url)


@pytest.fixture
def two_connections(direct_url: str) -> Iterator[str]:
    with pgbouncer(direct_url, connections=2) as through:
        yield through(direct_url)


def settings_of(connection: psycopg.Connection) -> dict[str, str]:
    """Return what a session goes by, and the process of the server that it was given."""
    names = [*OURS, "application_name"]
    query = ", ".join(f"current_setting('{name}')" for name in names)
    (row,) = connection.execute(f"SELECT {query}, pg_backend_pid()::text")  # type: ignore[arg-type]
    return dict(zip([*names, "process"], row, strict=True))


@pytest.mark.case(
    "behind pgbouncer every open failed, and our limits stayed on the connection for strangers",
    "limits, schema and time are set for each transaction: the next client of the connection sees "
    "none of them",
)
def test_a_stranger_on_the_same_connection_sees_nothing_of_ours(one_connection: str) -> None:
    with psycopg.connect(one_connection, prepare_threshold=None) as stranger:
        before = settings_of(stranger)
        stranger.commit()
        with open_ledger(one_connection, schema="of_ours") as ledger:
            assert ledger.acquire_lease("a", "somebody", 60)
            with ledger._database.read() as connection:
                within = connection.execute(sa.text("SELECT pg_backend_pid()::text")).scalar()
                limit = connection.execute(sa.text("SHOW lock_timeout")).scalar()
            after = settings_of(stranger)

    assert (within, limit) == (before["process"], "30s")
    assert after == before


@pytest.mark.case(
    "statements that the driver had prepared on one server connection were not there on the next",
    "nothing is prepared: two clients may take turns on connections as the pooler likes",
)
def test_two_clients_take_turns_on_one_connection(one_connection: str) -> None:
    with open_ledger(one_connection) as first, open_ledger(one_connection) as second:
        for _ in range(10):  # the driver prepares what it has seen five times
            assert first.acquire_lease("a", "first", 60)
            assert not second.acquire_lease("a", "second", 60)


def test_two_clients_buy_and_store_nights_by_turns(two_connections: str) -> None:
    first = LedgerDriver(two_connections)
    second = first.reopened()
    drivers = [first, second]
    nights = [new_night(), new_night()]
    for night in nights:
        first.plan(night, range(ROWS))

    def buy(number: int) -> None:
        driver, night = drivers[number], nights[number]
        for row in range(ROWS):
            key = key_of(night, row)
            driver.submit(key, owner=f"run {number}")
            driver.poll(key, S.SUCCEEDED, cost="0.01", outputs=refs("a"))
            driver.ledger.record_stored(key, 0, facts())
            driver.ledger.mark_collected(key)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(buy, (0, 1)))

    for night in nights:
        record = second.ledger.night(night)
        assert record is not None
        assert (record.counts[S.SUCCEEDED], record.uncollected) == (ROWS, 0)
    for driver in drivers:
        driver.ledger.close()


def test_what_a_transaction_begins_with_is_one_statement(one_connection: str) -> None:
    """Time, limits and schema cost no round trips of their own, nor does trying the connection."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    # By a clock that stands still: a slow reading of the time would be repeated.
    with open_ledger(one_connection, host=ManualClock()) as ledger:
        sa.event.listen(ledger._database.engine, "before_cursor_execute", note)
        assert ledger.acquire_lease("a", "somebody", 60)
    begun, *own = seen
    assert "set_config" in begun
    assert "clock_timestamp" in begun
    # Whether its run was ended, and the lease: each names a table of ours.
    assert [statement.split()[0] for statement in own] == ["SELECT", "INSERT"]
    assert all("run_heartbeats" in statement or "leases" in statement for statement in own)


def test_a_lock_is_waited_for_no_longer_than_was_said(two_connections: str) -> None:
    driver = LedgerDriver(two_connections)
    night = new_night()
    driver.plan(night)
    impatient = open_ledger(two_connections, driver.clock, busy_seconds=0.05)
    with psycopg.connect(two_connections, prepare_threshold=None) as holder:
        holder.execute("SELECT * FROM nights FOR UPDATE")
        with pytest.raises(LedgerBusy, match="locked past its deadline"):
            impatient.mark_night(night)
    impatient.mark_night(night)
    impatient.close()
    driver.ledger.close()


def test_a_pool_whose_server_was_cut_off_is_used_again(
    one_connection: str, direct_url: str
) -> None:
    with open_ledger(one_connection) as ledger:
        _cut_off(direct_url)
        assert _times(ledger) == [True, True]


def _times(ledger: RunLedger) -> list[bool]:
    return [ledger.acquire_lease("a", "somebody", 60), ledger.lease("a") is not None]


def _cut_off(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
