"""Opening the ledger: its engine, and what its connections and transactions begin with."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, bindparam, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import NoSuchModuleError

from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.ledger.address import Address, read_address
from flow_pipelines.ledger.database import WRITES, Database, failures_in_our_words, is_busy
from flow_pipelines.ledger.database_clock import DatabaseClock
from flow_pipelines.ledger.run_ledger import RunLedger
from flow_pipelines.ledger.upgrading import SchemaFacts, look, prepare
from flow_pipelines.model.errors import ConfigurationError, LedgerBusy, LedgerError

BUSY_SECONDS = 30.0
_RETRY_SECONDS = 0.05
_LEAST_LIMIT_MS = 10_000
"""However short the wait for a lock is: a process that the system paused is not a dead one."""
_READ_ONLY = "25006"
"""SQLSTATE of a write to a server that is a standby now."""
_POSTGRES: Mapping[str, Any] = {
    "connect_timeout": 10,
    # Behind a pooler the next transaction may have a connection where nothing was prepared.
    "prepare_threshold": None,
    # A server that vanished is missed in the time that a lock is waited for, not in hours.
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 35_000,
}


def open_ledger(  # noqa: PLR0913 - what a deployment may say of its ledger, and whose time it is
    url: str,
    clock: Clock | None = None,
    *,
    host: Clock | None = None,
    busy_seconds: float = BUSY_SECONDS,
    schema: str | None = None,
    connect_args: Mapping[str, str] | None = None,
    upgrade: bool | None = None,
) -> RunLedger:
    """Open the ledger at a SQLAlchemy URL (SQLite file or PostgreSQL); create or upgrade it first.

    Safe to call from many processes at once, and behind a pooler such as pgbouncer: nothing is
    left on a connection between two transactions. `busy_seconds` bounds the wait for a lock, and
    for a database that went away. The time of the ledger is `clock`'s where one is given; else
    PostgreSQL's own, and on SQLite that of `host`, which is this machine's clock.

    `schema`, `upgrade` and libpq's `connect_args` go before what the URL says (`read_address`).

    Raises: ConfigurationError, for an address that cannot be one, a driver that is missing, or a
        schema that only `ledger upgrade` may change; LedgerError, when the database refuses or its
        schema is newer than this code; LedgerBusy.
    """
    address = read_address(url, schema=schema, upgrade=upgrade)
    database = _open(address, clock, host or SystemClock(), busy_seconds, connect_args)
    try:
        if not address.is_postgres:
            _write_ahead(database, busy_seconds)
        return RunLedger(database, prepare(database, address))
    except BaseException:
        database.engine.dispose()
        raise


def upgrade(url: str) -> str:
    """Bring the ledger's schema up to date and give its revision. Safe to repeat."""
    open_ledger(url, upgrade=True).close()
    return schema_facts(url).current or ""


def schema_facts(url: str, *, busy_seconds: float = BUSY_SECONDS) -> SchemaFacts:
    """Look at a ledger's schema without changing it. A SQLite file should exist: it is made else.

    Raises: as `open_ledger`.
    """
    database = _open(read_address(url), None, SystemClock(), busy_seconds, None)
    try:
        with database.read() as connection:
            return look(connection)[0]
    finally:
        database.engine.dispose()


def _open(
    address: Address,
    clock: Clock | None,
    host: Clock,
    busy_seconds: float,
    connect_args: Mapping[str, str] | None,
) -> Database:
    engine = _make_engine(address, busy_seconds, tuple(sorted((connect_args or {}).items())))
    if not address.is_postgres:
        return Database(engine, clock or host, busy_seconds)
    clock = clock or DatabaseClock(host)
    _begin_alike(engine, _beginning(address, busy_seconds), clock)
    return Database(engine, clock, busy_seconds)


def _make_engine(
    address: Address, busy_seconds: float, connect_args: tuple[tuple[str, str], ...]
) -> Engine:
    arguments: dict[str, Any] = {"timeout": busy_seconds}
    if address.is_postgres:
        arguments = {
            name: value for name, value in _POSTGRES.items() if name not in address.url.query
        }
    try:
        engine = create_engine(
            address.url,
            connect_args={**arguments, **dict(connect_args)},
            hide_parameters=True,
            pool_timeout=busy_seconds,
        )
    except (ImportError, NoSuchModuleError):
        raise ConfigurationError(
            "a ledger in PostgreSQL needs psycopg: install flow-pipelines[postgres]"
        ) from None
    if not address.is_postgres:
        _own_transactions(engine)
    return engine


def _beginning(address: Address, busy_seconds: float) -> TextClause:
    """Return the statement that begins each transaction: its limits, its schema, and the time.

    They last as long as the transaction: behind a pooler its connection is somebody else's next.
    """
    busy_ms = max(1, int(busy_seconds * 1000))
    limit_ms = max(2 * busy_ms, _LEAST_LIMIT_MS)
    settings = {
        "lock_timeout": str(busy_ms),
        "statement_timeout": str(limit_ms),
        # A host that vanished in the middle of a transaction must not hold its locks for ever.
        "idle_in_transaction_session_timeout": str(limit_ms),
    }
    if address.schema:
        settings["search_path"] = address.quoted_schema
    calls = [f"set_config('{name}', :{name}, true)" for name in settings]
    query = text(f"SELECT {', '.join(calls)}, clock_timestamp()")
    return query.bindparams(*(bindparam(name, value) for name, value in settings.items()))


def _begin_alike(engine: Engine, beginning: TextClause, clock: Clock) -> None:
    """Begin PostgreSQL's transactions with `beginning`; tell `clock`, where it is the ledger's."""

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if isinstance(clock, DatabaseClock):
            clock.read(connection, beginning)
        else:
            connection.execute(beginning)

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        # Its successor is found by connecting anew.
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            context.is_disconnect = True


def _own_transactions(engine: Engine) -> None:
    """Begin SQLite's transactions explicitly: Python's driver begins them only at a write."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        # An intent must survive a power cut, or its submission would be sent again.
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_ahead(database: Database, busy_seconds: float) -> None:
    """Turn the write-ahead log on; it stays on. Readers and a writer then do not wait."""
    clock = database.clock
    deadline = clock.monotonic() + busy_seconds
    with failures_in_our_words():
        while not _switched(database.engine):
            # SQLite does not queue for this switch while somebody else is opening the file too.
            if clock.monotonic() >= deadline:
                raise LedgerBusy("the ledger's file stayed locked past its deadline; try again")
            clock.sleep(_RETRY_SECONDS)


def _switched(engine: Engine) -> bool:
    try:
        with closing(engine.raw_connection()) as raw:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        if is_busy(error):
            return False
        raise LedgerError(f"the ledger's file cannot be used: {error}") from error
    return True
