"""Open transactions; read the ledger's time; raise LedgerBusy, LedgerError for driver errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Engine, Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from flow_pipelines.clock import Clock
from flow_pipelines.ledger.database_clock import DatabaseClock
from flow_pipelines.ledger.patience import Patience
from flow_pipelines.model.errors import CommitUnknown, LedgerAway, LedgerBusy, LedgerError

Item = TypeVar("Item")

WRITES = "ledger_writes"
"""Execution option of a connection whose transaction takes SQLite's write lock at its start."""

_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
# What a restart or a fail-over answers: admin_shutdown, crash_shutdown, cannot_connect_now, and
# too_many_connections. A connection that broke, or was refused, has no code, or one of class 08.
_POSTGRES_AWAY = frozenset({"57P01", "57P02", "57P03", "53300"})
# What PostgreSQL, or pgbouncer, says to one whom it will not let in; it comes without a code. In
# another language it is waited for, and fails then.
_REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no such database")
# lock_not_available, deadlock_detected, query_canceled (statement timeout), serialization_failure
_POSTGRES_BUSY = frozenset({"55P03", "40P01", "57014", "40001"})


class Database:
    """One database, its clock, and the only way in. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock, busy_seconds: float) -> None:
        """Take an engine that `connect` made; it is waited for so long when it goes away."""
        self.engine = engine
        self.clock = clock
        self.patience = Patience(clock, busy_seconds)
        self._writer = engine.execution_options(**{WRITES: True})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that changes the ledger: all of it, or after an error none of it.

        Raises: LedgerAway; CommitUnknown, where it broke while it ended; LedgerBusy, LedgerError.
        """
        ended = False
        try:
            with self._transaction(self._writer) as connection:
                yield connection
                ended = True
        except LedgerAway as error:
            if not ended:
                raise
            raise CommitUnknown(f"{error}; whether this was written is not known") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads. Raises: LedgerBusy, LedgerError."""
        with self._transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        """Begin, on PostgreSQL with the time (`connect`); wait for a database that is away."""
        with ExitStack() as transaction:

            def begin() -> Connection:
                with failures_in_our_words():
                    return transaction.enter_context(engine.begin())

            connection = self.patience.repeat(begin)
            with failures_in_our_words(), transaction.pop_all():
                yield connection

    def now(self) -> datetime:
        """Return the ledger's time, read anew: also after this process or host stood still.

        Raises: LedgerBusy, LedgerError.
        """
        if isinstance(self.clock, DatabaseClock):
            with self.read():
                return self.clock.now()
        return self.clock.now()

    def skew(self) -> timedelta | None:
        """Return how far this host's clock is ahead of the ledger's time; negative: behind it.

        None: the ledger goes by this very clock.
        """
        return self.clock.skew() if isinstance(self.clock, DatabaseClock) else None

    def upsert(self, table: Table) -> Any:
        """Return an INSERT that knows ON CONFLICT; both dialects spell it alike."""
        if self.engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)


@contextmanager
def failures_in_our_words() -> Iterator[None]:
    """Raise LedgerBusy or LedgerError for a failure of the database; statements are not shown."""
    try:
        yield
    except PoolTimeout as error:
        raise LedgerBusy("all connections to the ledger stayed in use; try again later") from error
    except DBAPIError as error:
        raise _in_our_words(error) from error
    except StatementError as error:
        raise LedgerError(f"the ledger cannot keep this value: {error.orig}") from error
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger failed: {type(error).__name__}") from error


def _in_our_words(error: DBAPIError) -> LedgerError:
    cause = error.orig
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    if is_busy(cause):
        return LedgerBusy(f"the ledger stayed locked past its deadline ({lines[0]}); try again")
    if _is_away(error):
        return LedgerAway(f"the ledger's database cannot be reached ({lines[0]}); try again")
    return LedgerError(f"the ledger's database refused or failed: {lines[0]}")


def _is_away(error: DBAPIError) -> bool:
    """Return whether PostgreSQL was not there, or went away: it may be back in seconds."""
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return False
    code = getattr(cause, "sqlstate", None)
    if code is None and any(word in str(cause) for word in _REFUSED):
        return False
    unreached = isinstance(error, OperationalError) and (code is None or code.startswith("08"))
    return unreached or error.connection_invalidated or code in _POSTGRES_AWAY


def is_busy(cause: BaseException | None) -> bool:
    """Return whether the database was only held by somebody else for too long."""
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _SQLITE_BUSY
    return getattr(cause, "sqlstate", None) in _POSTGRES_BUSY


def chunks(items: Iterable[Item], size: int = 500) -> Iterator[list[Item]]:
    """Return `items` in lists short enough for an IN clause on every database."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def unindexed(column: Column[Any]) -> ColumnElement[Any]:
    """Keep a database from going by an index of this column: SQLite may read years for a night."""
    return func.coalesce(column, column)
