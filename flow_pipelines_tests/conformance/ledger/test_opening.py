"""Opening the ledger: made once, upgraded safely, kept for ever, and honest when it cannot."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from flow_pipelines.ledger import open_ledger, upgrade
from flow_pipelines.ledger.address import read_address
from flow_pipelines.ledger.schema import metadata
from flow_pipelines.model.errors import LedgerBusy, LedgerError
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    PROVIDER,
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
)
from flow_pipelines_tests.databases import PostgresServer

OPENER = """
import sys
from flow_pipelines.ledger import open_ledger
print("ready", flush=True)
sys.stdin.readline()
with open_ledger(sys.argv[1], busy_seconds=60) as ledger:
    print(ledger.ledger_id, ledger.acquire_lease("submit:a/b", sys.argv[2], 600), flush=True)
"""

DIES_IN_A_TRANSACTION = """
import os, sys
from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import Night
ledger = open_ledger(sys.argv[1])
ledger.regenerate(Night("posters", sys.argv[2]), "run-1", "all", lambda generation: os._exit(9))
"""


def _start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_processes_that_open_a_fresh_database_at_once_agree_on_it(empty_url: str) -> None:
    openers = [_start(OPENER, empty_url, f"owner {number}") for number in range(4)]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("\n")
        opener.stdin.flush()

    answers = [opener.communicate(timeout=60)[0].split() for opener in openers]

    assert [opener.returncode for opener in openers] == [0, 0, 0, 0]
    assert len({ledger_id for ledger_id, _ in answers}) == 1
    assert sorted(held for _, held in answers) == ["False", "False", "False", "True"]


def test_a_process_that_dies_inside_a_transaction_leaves_nothing(ledger_url: str) -> None:
    driver = LedgerDriver(ledger_url)
    night = new_night()
    driver.plan(night)
    before = driver.everything(key_of(night, 0))

    died = _start(DIES_IN_A_TRANSACTION, ledger_url, night.partition_key)

    assert died.wait(60) == 9
    assert driver.everything(key_of(night, 0)) == before
    assert driver.begin(key_of(night, 0)).state is S.SUBMITTING
    driver.ledger.close()


def test_reopening_keeps_everything(empty_url: str) -> None:
    driver = LedgerDriver(empty_url)
    key = driver.reach(S.RUNNING)
    driver.poll(key, S.SUCCEEDED, cost="0.01", outputs=refs("a"))
    driver.ledger.record_stored(key, 0, facts())
    driver.ledger.pause("ann", "lunch")
    before, ledger_id, pause = (
        driver.everything(key),
        driver.ledger.ledger_id,
        driver.ledger.paused(),
    )

    again = driver.reopened()

    assert again.everything(key) == before
    assert again.ledger.ledger_id == ledger_id
    assert again.ledger.paused() == pause
    assert again.ledger.reserved_usd(PROVIDER, again.clock.now()) > 0
    again.ledger.close()


def test_upgrading_is_safe_to_repeat(empty_url: str) -> None:
    first = upgrade(empty_url)
    with open_ledger(empty_url) as ledger:
        ledger_id = ledger.ledger_id

    assert upgrade(empty_url) == first
    with open_ledger(empty_url) as ledger:
        assert ledger.ledger_id == ledger_id


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(empty_url: str) -> None:
    upgrade(empty_url)

    engine = sa.create_engine(read_address(empty_url).url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


def test_a_schema_of_a_later_release_is_refused_and_left_alone(empty_url: str) -> None:
    upgrade(empty_url)
    engine = sa.create_engine(read_address(empty_url).url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(LedgerError, match=r"9999.*newer than this flow-pipelines"):
        open_ledger(empty_url)

    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    engine.dispose()
    assert found == "9999"


def test_a_ledger_that_stays_locked_says_so_and_changes_nothing(ledger_url: str) -> None:
    driver = LedgerDriver(ledger_url)
    night = new_night()
    driver.plan(night)
    impatient = open_ledger(ledger_url, driver.clock, busy_seconds=0.05)
    holder = sa.create_engine(read_address(ledger_url).url)
    with holder.connect() as connection:
        _hold(connection)

        with pytest.raises(LedgerBusy, match="locked past its deadline"):
            impatient.mark_night(night)

        record = impatient.night(night)
        assert record is not None
        assert record.marked_at is None
    holder.dispose()

    impatient.mark_night(night)
    assert impatient._database.engine.pool.checkedout() == 0
    impatient.close()
    driver.ledger.close()


@pytest.mark.case(
    "a process that the system paused in a transaction was cut off as one that had vanished",
    "however short the wait for a lock is, a transaction may pause for ten seconds",
)
def test_a_short_wait_for_locks_leaves_transactions_their_time(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.ledger_database()
    with open_ledger(url, busy_seconds=0.05) as ledger, ledger._database.read() as connection:
        shown = [
            connection.execute(sa.text(f"SHOW {name}")).scalar()
            for name in (
                "lock_timeout",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
            )
        ]
    assert shown == ["50ms", "10s", "10s"]
    postgres_server.drop(url)


def _hold(connection: sa.Connection) -> None:
    """Take the lock of a writer, without writing."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SELECT * FROM nights FOR UPDATE")


@pytest.mark.case(
    "a database that was restarted while a receipt was written counted as broken for good",
    "it counts as busy: what an answer proved is offered again, and the step is retried",
)
def test_a_database_that_goes_away_may_be_back(postgres_server: PostgresServer) -> None:
    url = postgres_server.ledger_database()
    with open_ledger(url) as ledger:
        with (
            pytest.raises(LedgerBusy, match=r"cannot be reached.*try again"),
            ledger._database.write() as connection,
        ):
            connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert ledger.paused() is None
    nobody = sa.make_url(url).set(host="127.0.0.1", port=9, query={})
    with pytest.raises(LedgerBusy, match="cannot be reached"):
        open_ledger(nobody.render_as_string(hide_password=False), busy_seconds=0.5)
    postgres_server.drop(url)
