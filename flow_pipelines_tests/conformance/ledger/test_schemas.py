"""A ledger in a schema of its own, with connect arguments and roles that may do only so much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from flow_pipelines.ledger import open_ledger, schema_facts, upgrade
from flow_pipelines.model.errors import ConfigurationError, LedgerError
from flow_pipelines.resources import RunLedgerResource
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
)
from flow_pipelines_tests.databases import PostgresServer

SCHEMA = 'the "pictures"'
"""A name that has to be quoted."""
PASSWORD = "correct-horse"
WRITER = "the_writer"


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.empty_database()
    yield url
    postgres_server.drop(url)


def with_options(url: str, **options: str) -> str:
    return sa.make_url(url).update_query_dict(options).render_as_string(hide_password=False)


def as_role(url: str, role: str) -> str:
    return sa.make_url(url).set(username=role).render_as_string(hide_password=False)


def tables(url: str) -> set[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        query = """SELECT schemaname, tablename FROM pg_tables
            WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""
        return set(connection.execute(query))


@pytest.mark.case(
    "a ledger could only be where the role's search path led",
    "`schema` names its place: all tables are there, and nothing is in another",
)
@pytest.mark.parametrize("by_url", [True, False], ids=["in the URL", "as an argument"])
def test_everything_of_a_ledger_is_in_its_schema(url: str, *, by_url: bool) -> None:
    place: dict[str, Any] = {} if by_url else {"schema": SCHEMA}
    address = with_options(url, schema=SCHEMA) if by_url else url
    with open_ledger(address, **place) as ledger:
        ledger_id = ledger.ledger_id
        assert ledger.acquire_lease("a", "somebody", 60)
    found = tables(url)

    assert {schema for schema, _ in found} == {SCHEMA}
    assert {"alembic_version", "ledger_meta", "nights"} <= {table for _, table in found}
    with open_ledger(address, **place) as again:
        assert again.ledger_id == ledger_id
        assert again.lease("a") is not None


def test_two_ledgers_of_one_database_know_nothing_of_each_other(url: str) -> None:
    with open_ledger(url, schema="one") as one, open_ledger(url, schema="two") as two:
        assert one.ledger_id != two.ledger_id
        assert one.acquire_lease("a", "somebody", 60)
        assert two.lease("a") is None


def test_the_command_line_finds_the_schema_in_the_url_that_the_resource_has(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = with_options(url, schema=SCHEMA)
    upgrade(address)
    facts_there = schema_facts(address)
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", address)

    assert facts_there.current == facts_there.newest
    ledger = RunLedgerResource().get_ledger()
    with open_ledger(address) as other:
        assert ledger.ledger_id == other.ledger_id
    ledger.close()


def test_a_file_has_no_schema(sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError, match="no schemas"):
        open_ledger(sqlite_url, schema="one")


@pytest.fixture
def writer(url: str) -> Iterator[str]:
    """Return the URL of a role that may read and write, and neither make nor change tables."""
    upgrade(with_options(url, schema=SCHEMA))
    quoted = '"the ""pictures"""'
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {WRITER} LOGIN")  # type: ignore[arg-type]
        for right in (
            f"USAGE ON SCHEMA {quoted}",
            f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {quoted}",
            f"USAGE ON ALL SEQUENCES IN SCHEMA {quoted}",
        ):
            owner.execute(f"GRANT {right} TO {WRITER}")  # type: ignore[arg-type]
    yield as_role(url, WRITER)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"DROP OWNED BY {WRITER}")  # type: ignore[arg-type]
        owner.execute(f"DROP ROLE {WRITER}")  # type: ignore[arg-type]


@pytest.mark.parametrize("may_upgrade", [None, False])
def test_a_role_that_only_reads_and_writes_rows_buys_a_night(
    writer: str, may_upgrade: bool | None
) -> None:
    driver = LedgerDriver(with_options(writer, schema=SCHEMA))
    driver.ledger.close()
    driver.ledger = open_ledger(writer, driver.clock, schema=SCHEMA, upgrade=may_upgrade)
    night = new_night()
    driver.plan(night)
    key = key_of(night, 0)
    driver.submit(key)
    driver.poll(key, S.SUCCEEDED, cost="0.01", outputs=refs("a"))
    driver.ledger.record_stored(key, 0, facts())
    driver.ledger.mark_collected(key)
    driver.ledger.detach(key, who="ann", why="not its own")

    assert driver.state(key) is S.UNRESOLVED
    driver.ledger.close()


def test_a_role_that_may_make_nothing_is_told_so(url: str, writer: str) -> None:
    with pytest.raises(LedgerError, match="permission denied"):
        open_ledger(writer, schema="another")
    assert {schema for schema, _ in tables(url)} == {SCHEMA}


@pytest.mark.case(
    "connect arguments such as sslmode could be given in the URL alone, beside the password",
    "the resource takes them typed, resolves EnvVar, and shows them to nobody",
)
def test_connect_arguments_reach_the_driver_and_nobody_else(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_PASSWORD", PASSWORD)
    resource = RunLedgerResource(
        url=url,
        schema="ours",
        connect_args={
            "application_name": "pictures",
            "password": dg.EnvVar("LEDGER_PASSWORD"),
        },
    )
    seen: dict[str, Any] = {}

    @dg.op(required_resource_keys={"run_ledger"})
    def look(context) -> None:  # type: ignore[no-untyped-def]
        given = context.resources.run_ledger
        with given.get_ledger()._database.read() as connection:
            query = "SELECT current_setting('application_name'), current_schema()"
            seen["session"] = tuple(connection.execute(sa.text(query)).one())
            seen["password"] = connection.connection.driver_connection.info.password
        seen["shown"] = repr(given) + repr(given.get_ledger())

    @dg.job(resource_defs={"run_ledger": resource})
    def job() -> None:
        look()

    assert job.execute_in_process().success
    assert seen["session"] == ("pictures", "ours")
    assert seen["password"] == PASSWORD
    assert PASSWORD not in seen["shown"] + repr(resource)


def test_a_wrong_argument_is_named_without_its_value(url: str) -> None:
    with pytest.raises(LedgerError) as refused:
        open_ledger(url, connect_args={"passwort": PASSWORD})
    assert "passwort" in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert PASSWORD not in repr(refused.value.__cause__)


def test_a_password_among_the_options_of_the_url_is_not_shown(url: str) -> None:
    with open_ledger(with_options(url, password=PASSWORD)) as ledger:
        assert PASSWORD not in repr(ledger)
