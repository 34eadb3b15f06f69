"""A connection to PostgreSQL that breaks at any moment of any method: done again, or left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select, text

from flow_pipelines.ledger.database import WRITES
from flow_pipelines.ledger.schema import metadata
from flow_pipelines.model.errors import CommitUnknown, IntentInDoubt
from flow_pipelines.provider import Purpose, TurnRequest
from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver
from flow_pipelines_tests.databases import PostgresServer
from flow_pipelines_tests.unit.ledger.test_query_plans import (
    _NEEDED,
    _STEPS,
    HOT,
    NIGHT,
    ONLY_INSERTS,
)

KEPT = {"ledger_meta"}
"""The ledger's own id and revision: each test begins with all else empty."""
TURN = TurnRequest(interval_seconds=1.0, burst=1, patience_seconds=30.0, purpose=Purpose.SUBMIT)
METHODS: dict[str, Callable[[LedgerDriver], object]] = {
    **HOT,
    "acquire_lease": lambda driver: driver.ledger.acquire_lease("a", "somebody", 60),
    "pause": lambda driver: driver.ledger.pause("ann", "lunch"),
    "stop_account": lambda driver: driver.ledger.stop_account("floyo", "402", "no credit"),
    "save_workflow": _STEPS["workflow kept"],
    "move_batch": lambda driver: driver.ledger.move_batch("posters", "there"),
    "reserve": lambda driver: driver.ledger.pace.reserve("floyo", TURN),
}
STREAMED = {"search_all by state"}
"""Gives part of what it read before it breaks."""
ENDING = [name for name in METHODS if name not in STREAMED | {"count_to_send"}]
"""Those that end in a commit; what was only counted is rolled back."""


@dataclass
class Breaks:
    """Cuts the connection of the ledger at a statement or a commit, counted from 1."""

    engine: Engine
    statements: int = 0
    commits: int = 0
    writes: bool = False
    """Whether the last transaction that ended was one that writes."""
    at_statement: int = 0
    at_commit: int = 0
    after_commit: bool = False

    def statement(self, connection: Connection, *_: Any) -> None:
        self.statements += 1
        if self.statements == self.at_statement:
            _cut(connection)

    def commit(self, connection: Connection) -> None:
        self.commits += 1
        self.writes = bool(connection.get_execution_options().get(WRITES))
        if self.commits == self.at_commit:
            if self.after_commit:
                connection.connection.driver_connection.commit()  # type: ignore[union-attr]
            _cut(connection)


def _cut(connection: Connection) -> None:
    connection.connection.driver_connection.close()  # type: ignore[union-attr]


@contextmanager
def breaks(driver: LedgerDriver, **where: Any) -> Iterator[Breaks]:
    made = Breaks(driver.ledger._database.engine, **where)
    event.listen(made.engine, "before_cursor_execute", made.statement)
    event.listen(made.engine, "commit", made.commit)
    yield made
    event.remove(made.engine, "before_cursor_execute", made.statement)
    event.remove(made.engine, "commit", made.commit)


@pytest.fixture(scope="module")
def driver(postgres_server: PostgresServer) -> Iterator[LedgerDriver]:
    url = postgres_server.ledger_database()
    driver = LedgerDriver(url)
    yield driver
    driver.ledger.close()
    postgres_server.drop(url)


def prepare(driver: LedgerDriver, method: str) -> None:
    """Bring an empty ledger to where a method has something to do, at the same times as ever."""
    _empty(driver)
    driver.clock.__init__()  # type: ignore[misc]
    driver.plan(NIGHT, range(3))
    for step in _NEEDED.get(method, ()):
        _STEPS[step](driver)


def _empty(driver: LedgerDriver) -> None:
    names = ", ".join(table.name for table in metadata.sorted_tables if table.name not in KEPT)
    with driver.ledger._database.write() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))


def content(driver: LedgerDriver) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows; without numbers from a sequence, which go on after what was undone."""
    with driver.ledger._database.read() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in connection.execute(select(*_lasting(table.c)))), key=repr
            )
            for table in metadata.sorted_tables
        }


def _lasting(columns: Any) -> list[Any]:
    return [column for column in columns if column.name != "id"]


@pytest.mark.case(
    "a restart of seconds failed five runs for good: a connection that broke was not tried again",
    "a method whose connection broke before it was committed is done again, whole and once",
)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_breaks_before_its_end_happens_once(
    driver: LedgerDriver, method: str
) -> None:
    prepare(driver, method)
    with breaks(driver) as unbroken:
        METHODS[method](driver)
    whole, last = content(driver), unbroken.statements
    moments = {1} if method in STREAMED else {1, last}
    for moment in sorted(moments):
        prepare(driver, method)
        with breaks(driver, at_statement=moment) as broken:
            METHODS[method](driver)
        assert broken.statements > last, f"nothing broke at {moment} of {last}"
        assert content(driver) == whole, f"broken at statement {moment} of {last}"


@pytest.mark.case(
    "whether a receipt, an intent or a poll was written could not be told when it broke at its end",
    "what was being committed is never done again by itself; its caller is told that it is open",
)
@pytest.mark.parametrize("method", ENDING)
def test_a_method_that_breaks_at_its_commit_is_not_done_again(
    driver: LedgerDriver, method: str
) -> None:
    prepare(driver, method)
    before = content(driver)
    with breaks(driver) as unbroken:
        METHODS[method](driver)
    whole, commits = content(driver), unbroken.commits
    if not unbroken.writes:
        with breaks(driver, at_commit=commits) as broken:
            METHODS[method](driver)  # what only reads may be done again
        assert broken.statements > unbroken.statements
        return
    for committed in (False, True):
        prepare(driver, method)
        with (
            breaks(driver, at_commit=commits, after_commit=committed),
            pytest.raises(CommitUnknown) as left_open,
        ):
            METHODS[method](driver)
        assert isinstance(left_open.value, IntentInDoubt) is (method == "begin")
        # Of a step that is several methods, those before the last have happened.
        if committed or commits == 1:
            assert content(driver) == (whole if committed else before)
        assert driver.ledger._database.engine.pool.checkedout() == 0


def test_every_method_of_the_ledger_is_broken() -> None:
    """`test_query_plans` sees to it that HOT and ONLY_INSERTS have them all."""
    assert METHODS.keys() >= ONLY_INSERTS
