"""The three roles of the ledger's database, in a real PostgreSQL: what each can do, and cannot."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from flow_pipelines.ledger import open_ledger, upgrade
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import LedgerError
from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver, key_of, new_night
from flow_pipelines_tests.databases import PostgresServer, postgres_server
from flow_pipelines_tests.deploy.postgres import run_psql, with_role

__all__ = ["postgres_server"]


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database whose owner has made the ledger."""
    made = postgres_server.empty_database()
    run_psql(made, "roles.sql")
    upgrade(with_role(made, "ledger_owner"))
    yield made
    postgres_server.drop(made)


@pytest.fixture
def writer(url: str) -> Iterator[LedgerDriver]:
    driver = LedgerDriver(with_role(url, "ledger_writer"))
    yield driver
    driver.ledger.close()


def execute(url: str, role: str, statement: str) -> None:
    with psycopg.connect(with_role(url, role), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def test_the_writer_does_a_whole_nights_work(writer: LedgerDriver) -> None:
    night = new_night("by_the_writer")
    writer.plan(night, (0, 1))
    key, other = key_of(night, 0), key_of(night, 1)
    writer.ask(night)
    writer.submit(key)
    writer.poll(key, SubmissionState.SUCCEEDED, cost="0.02")
    writer.ledger.skip([other], "budget")
    writer.ledger.pause("ann", "looked")
    writer.ledger.resume()
    assert writer.state(key) is SubmissionState.SUCCEEDED


def test_the_reader_reads_runs_and_costs_and_writes_nothing(url: str, writer: LedgerDriver) -> None:
    night = new_night("read")
    writer.plan(night)
    with_cost = key_of(night, 0)
    writer.submit(with_cost)
    writer.poll(with_cost, SubmissionState.SUCCEEDED, cost="0.02")
    reader = LedgerDriver(with_role(url, "ledger_reader"))
    try:
        assert [one.submission_key for one in reader.ledger.search(batch="read")] == [with_cost]
        assert [line.night for line in reader.ledger.cost_lines(["read"])] == [night]
        assert reader.ledger.outstanding() == writer.ledger.outstanding()
        assert reader.ledger.now() is not None
        with pytest.raises(LedgerError, match="permission denied"):
            reader.plan(new_night("written"))
        with pytest.raises(LedgerError, match="permission denied"):
            reader.ledger.pause("ann", "no")
    finally:
        reader.ledger.close()


@pytest.mark.parametrize("role", ["ledger_writer", "ledger_reader"])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (a int)",
        "DROP TABLE submissions",
        "ALTER TABLE submissions ADD COLUMN a int",
        "TRUNCATE submissions",
    ],
)
def test_only_the_owner_changes_tables(url: str, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(url, role, statement)


def test_tables_of_a_later_upgrade_are_covered_too(url: str) -> None:
    execute(url, "ledger_owner", "CREATE TABLE later (n int, id serial)")
    try:
        execute(url, "ledger_writer", "INSERT INTO later (n) VALUES (1)")
        execute(url, "ledger_reader", "SELECT n FROM later")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(url, "ledger_reader", "DELETE FROM later")
    finally:
        execute(url, "ledger_owner", "DROP TABLE later")


def test_a_ledger_that_is_there_already_is_covered_and_the_script_may_run_twice(
    url: str,
) -> None:
    for _ in range(2):
        run_psql(url, "roles.sql")
    for role in ("ledger_writer", "ledger_reader"):
        open_ledger(f"{with_role(url, role)}&upgrade=false").close()


def test_another_schema_can_be_named(postgres_server: PostgresServer) -> None:
    made = postgres_server.empty_database()
    try:
        run_psql(made, "roles.sql", "--set=schema=flow")
        upgrade(f"{with_role(made, 'ledger_owner')}&schema=flow")
        for role in ("ledger_writer", "ledger_reader"):
            open_ledger(f"{with_role(made, role)}&schema=flow&upgrade=false").close()
            execute(made, role, "SELECT count(*) FROM flow.submissions")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(made, "ledger_owner", "CREATE TABLE public.thing (a int)")
    finally:
        postgres_server.drop(made)
