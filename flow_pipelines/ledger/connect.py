"""Opening the ledger: its address, its engine, its schema."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.ledger.database import WRITES, Database, failures_in_our_words, is_busy
from flow_pipelines.ledger.database_clock import DatabaseClock
from flow_pipelines.ledger.run_ledger import RunLedger
from flow_pipelines.ledger.schema import ledger_meta
from flow_pipelines.model.errors import ConfigurationError, LedgerBusy, LedgerError

BUSY_SECONDS = 30.0
_UPGRADE_LOCK = 0x666C6F77
"""Number of the advisory lock under which PostgreSQL's schema is upgraded."""
_RETRY_SECONDS = 0.05
_POSTGRES_LIMITS = (
    "SET lock_timeout = {busy_ms}",
    "SET statement_timeout = {limit_ms}",
    # A host that vanished in the middle of a transaction must not hold its locks for ever.
    "SET idle_in_transaction_session_timeout = {limit_ms}",
)
_LEAST_LIMIT_MS = 10_000
"""However short the wait for a lock is: a process that the system paused is not a dead one."""
# Alembic's environment is one per process.
_alembic = threading.Lock()


def open_ledger(
    url: str,
    clock: Clock | None = None,
    *,
    host: Clock | None = None,
    busy_seconds: float = BUSY_SECONDS,
) -> RunLedger:
    """Open the ledger at a SQLAlchemy URL (SQLite file or PostgreSQL); create or upgrade it first.

    Safe to call from many processes at once. `busy_seconds` bounds the wait for a lock. The time of
    the ledger is `clock`'s where one is given; else PostgreSQL's own, and on SQLite that of `host`,
    which is this machine's clock.

    Raises: ConfigurationError, for an address that cannot be one or a driver that is missing;
        LedgerError, when the database refuses or its schema is newer than this code; LedgerBusy.
    """
    host = host or SystemClock()
    engine = _make_engine(_address(url), busy_seconds)
    try:
        ledger_id = _prepare(engine, clock or host, busy_seconds)
        return RunLedger(Database(engine, clock or _clock(engine, host)), ledger_id)
    except BaseException:
        engine.dispose()
        raise


def _clock(engine: Engine, host: Clock) -> Clock:
    if engine.dialect.name != "postgresql":
        return host
    with failures_in_our_words():
        return DatabaseClock(engine, host)


def upgrade(url: str) -> str:
    """Bring the ledger's schema up to date and give its revision. Safe to repeat."""
    open_ledger(url).close()
    return _scripts().get_current_head() or ""


@dataclass(frozen=True, kw_only=True)
class SchemaFacts:
    """Which schema a database has, and which this release works with."""

    current: str | None
    """None: it holds no ledger yet."""
    newest: str
    known: frozenset[str]
    """Every revision that this release can upgrade from, `newest` among them."""


def schema_facts(url: str, *, busy_seconds: float = BUSY_SECONDS) -> SchemaFacts:
    """Look at a ledger's schema without changing it. A SQLite file should exist: it is made else.

    Raises: as `open_ledger`.
    """
    engine = _make_engine(_address(url), busy_seconds)
    scripts = _scripts()
    try:
        with failures_in_our_words(), engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return SchemaFacts(
        current=current,
        newest=scripts.get_current_head() or "",
        known=frozenset(script.revision for script in scripts.walk_revisions()),
    )


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        # The text is not repeated: it may hold a password.
        raise ConfigurationError(
            "the ledger's address is not a URL such as sqlite:////path/ledger.db or "
            "postgresql://user@host/database"
        ) from None
    if address.drivername in {"postgresql", "postgres"}:
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername in {"sqlite", "sqlite+pysqlite"}:
        if address.database in {None, "", ":memory:"}:
            raise ConfigurationError("a ledger in memory would forget what was bought: name a file")
    elif address.drivername != "postgresql+psycopg":
        raise ConfigurationError(
            f"the ledger is kept in SQLite or PostgreSQL, not in {address.drivername}"
        )
    return address


def _make_engine(address: URL, busy_seconds: float) -> Engine:
    postgres = address.get_backend_name() == "postgresql"
    arguments: dict[str, Any] = {"timeout": busy_seconds}
    if postgres:
        arguments = {"connect_timeout": 10}
    try:
        engine = create_engine(
            address,
            connect_args=arguments,
            hide_parameters=True,
            pool_pre_ping=postgres,
            pool_timeout=busy_seconds,
        )
    except (ImportError, NoSuchModuleError):
        raise ConfigurationError(
            "a ledger in PostgreSQL needs psycopg: install flow-pipelines[postgres]"
        ) from None
    if postgres:
        _limit_waiting(engine, busy_seconds)
    else:
        _own_transactions(engine)
    return engine


def _limit_waiting(engine: Engine, busy_seconds: float) -> None:
    busy_ms = max(1, int(busy_seconds * 1000))
    limit_ms = max(2 * busy_ms, _LEAST_LIMIT_MS)
    limits = [line.format(busy_ms=busy_ms, limit_ms=limit_ms) for line in _POSTGRES_LIMITS]

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for line in limits:
                cursor.execute(line)
        connection.commit()


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


def _prepare(engine: Engine, clock: Clock, busy_seconds: float) -> str:
    with failures_in_our_words():
        if engine.dialect.name == "sqlite":
            _write_ahead(engine, clock, busy_seconds)
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            if engine.dialect.name == "postgresql":
                lock = text("SELECT pg_advisory_xact_lock(:number)")
                connection.execute(lock, {"number": _UPGRADE_LOCK})
            _upgrade(connection)
            return _ledger_id(connection)


def _write_ahead(engine: Engine, clock: Clock, busy_seconds: float) -> None:
    """Turn the write-ahead log on; it stays on. Readers and a writer then do not wait."""
    deadline = clock.monotonic() + busy_seconds
    while not _switched(engine):
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


def _upgrade(connection: Connection) -> None:
    scripts = _scripts()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise LedgerError(
            f"the ledger's schema ({current}) is newer than this flow-pipelines; "
            "use the release that upgraded it, or a later one"
        )
    config = _config()
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "flow_pipelines.ledger:migrations")
    return config


@cache
def _scripts() -> ScriptDirectory:
    """Read the migrations, once a process: they are a file each."""
    return ScriptDirectory.from_config(_config())


def _ledger_id(connection: Connection) -> str:
    query = select(ledger_meta.c.value).where(ledger_meta.c.name == "ledger_id")
    known = connection.execute(query).scalar_one_or_none()
    if known is not None:
        return str(known)
    made = uuid.uuid4().hex
    connection.execute(insert(ledger_meta).values(name="ledger_id", value=made))
    return made
