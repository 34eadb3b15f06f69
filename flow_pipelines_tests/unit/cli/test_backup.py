"""A copy of the ledger is made, put back and completed from the journal; nothing is paid twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from flow_pipelines.cli.copies import put_back
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger, open_ledger, schema_facts
from flow_pipelines.lifecycle import submit_night
from flow_pipelines.model import SubmissionState as S
from flow_pipelines.model.errors import LedgerBehind
from flow_pipelines_tests.before_0008 import Before
from flow_pipelines_tests.databases import PostgresServer, postgres_server, postgres_url
from flow_pipelines_tests.unit.cli.conftest import NIGHT, Machine

__all__ = ["postgres_server", "postgres_url"]

VARIABLE = "FLOW_PIPELINES_LEDGER_URL"
PASSWORD = "correct horse battery"
_DYING = """
import os, sys
from flow_pipelines.cli import environment, main

environment.restore_batches = lambda *_: os._exit(86)
main(sys.argv[1:])
"""


@pytest.fixture
def programs(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the server's own programs first on the path."""
    first_on_path(postgres_server.programs, monkeypatch)
    return postgres_server.programs


def first_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(
    request: pytest.FixtureRequest, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """A machine with a batch; its ledger is a file, or on PostgreSQL."""
    machine.add_batch()
    if request.param == "sqlite":
        yield machine
        return
    url = request.getfixturevalue("postgres_url")
    request.getfixturevalue("programs")
    monkeypatch.setenv(VARIABLE, url)
    with open_ledger(url) as ledger:
        yield replace(machine, ledger=ledger)


@pytest.fixture
def lose(
    shop: Machine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[], None]:
    """Lose the ledger: its file is gone, or its database, and there is a new, empty one."""

    def lose_it() -> None:
        shop.ledger.close()
        address = make_url(os.environ[VARIABLE])
        if address.get_backend_name() == "sqlite":
            Path(str(address.database)).unlink()
            return
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.empty_database()
        request.addfinalizer(lambda: server.drop(url))
        monkeypatch.setenv(VARIABLE, url)

    return lose_it


@contextmanager
def again(shop: Machine) -> Iterator[Machine]:
    """Open what the address leads to now."""
    with open_ledger(os.environ[VARIABLE]) as ledger:
        yield replace(shop, ledger=ledger)


def bills(shop: Machine) -> tuple[int, int]:
    meter = shop.control.state()["floyo"]
    return meter.runs_billed, meter.duplicate_bills


def buy_the_rest(shop: Machine) -> None:
    settings, ports = shop.plan()
    submit_night(settings, NIGHT, ports, owner="run-2")


@pytest.mark.case(
    "the ledger is lost and an older copy put in its place",
    "what was sent since is taken in from the journal at once; nothing is bought again",
    area="old ledger",
)
def test_what_was_bought_since_the_copy_is_known_after_a_restore(
    shop: Machine, lose: Callable[[], None], tmp_path: Path
) -> None:
    shop.buy(limit=1)
    copied = shop.type("ledger", "backup", str(tmp_path / "copy"))
    assert copied.exit_code == 0, copied.output
    assert f"Ledger {shop.ledger.ledger_id} (schema " in copied.output
    buy_the_rest(shop)
    lose()

    restored = shop.type("ledger", "restore", str(tmp_path / "copy"))

    assert restored.exit_code == 0, restored.output
    assert f"Ledger {shop.ledger.ledger_id} (schema " in restored.output
    assert "journal names 2 submission(s) of this night that were sent since" in restored.output
    with again(shop) as after:
        assert after.states() == [S.SUBMITTED, S.UNRESOLVED, S.UNRESOLVED]
        buy_the_rest(after)
        assert S.PLANNED not in after.states()
    assert bills(shop) == (3, 0)
    repeated = shop.type("ledger", "restore")
    assert "1 journal(s) compared, 0 knew more than the ledger." in repeated.output


@pytest.mark.case(
    "the process that restores a ledger is killed before the journal is looked at",
    "whoever wants to buy compares the night first, takes in what is missing, and buys nothing",
    area="old ledger",
)
def test_a_copy_whose_import_never_came_buys_nothing_again(
    shop: Machine, lose: Callable[[], None], tmp_path: Path
) -> None:
    shop.buy(limit=1)
    assert shop.type("ledger", "backup", str(tmp_path / "copy")).exit_code == 0
    buy_the_rest(shop)
    lose()
    words = ["ledger", "restore", str(tmp_path / "copy")]
    died = subprocess.run([sys.executable, "-c", _DYING, *words], check=False)
    assert died.returncode == 86

    with again(shop) as after:
        assert after.states() == [S.SUBMITTED, S.PLANNED, S.PLANNED]
        with pytest.raises(LedgerBehind):
            buy_the_rest(after)

        assert after.states() == [S.SUBMITTED, S.UNRESOLVED, S.UNRESOLVED]
        assert shop.type("ledger", "restore").exit_code == 0
        buy_the_rest(after)
    assert bills(shop) == (3, 0)


def test_a_ledger_that_is_there_is_not_touched(shop: Machine, tmp_path: Path) -> None:
    shop.buy(limit=1)
    shop.type("ledger", "backup", str(tmp_path / "copy"))
    buy_the_rest(shop)
    shop.ledger.close()

    refused = shop.type("ledger", "restore", str(tmp_path / "copy"))

    assert refused.exit_code == 1
    assert "already" in refused.output
    assert shop.states().count(S.PLANNED) == 0


def test_no_copy_is_made_over_a_file(shop: Machine, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("something else")
    refused = shop.type("ledger", "backup", str(tmp_path / "copy"))
    assert (refused.exit_code, "already" in refused.output) == (1, True)
    assert (tmp_path / "copy").read_text() == "something else"


def test_a_ledger_in_a_file_is_kept_beside_the_one_that_replaces_it(
    machine: Machine, tmp_path: Path
) -> None:
    machine.add_batch()
    machine.buy(limit=1)
    machine.type("ledger", "backup", str(tmp_path / "copy"))
    buy_the_rest(machine)
    held = machine.type("ledger", "restore", str(tmp_path / "copy"), "--replace")
    assert (held.exit_code, "another process has" in held.output) == (1, True)
    machine.ledger.close()

    restored = machine.type("ledger", "restore", str(tmp_path / "copy"), NIGHT.batch, "--replace")

    assert restored.exit_code == 0, restored.output
    (kept,) = tmp_path.glob("ledger.sqlite.before-*")
    assert str(kept) in "".join(restored.output.split("\n"))
    with open_ledger(f"sqlite:///{kept}") as before:
        assert {one.state for one in before.submissions(NIGHT)} == {S.SUBMITTED}
    assert machine.states() == [S.SUBMITTED, S.UNRESOLVED, S.UNRESOLVED]


def test_without_a_bucket_nothing_is_put_in_place(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.type("ledger", "backup", str(tmp_path / "copy"))
    machine.ledger.close()
    (tmp_path / "ledger.sqlite").unlink()
    monkeypatch.setenv("FLOW_PIPELINES_BUCKET", "no-such-bucket")
    refused = machine.type("ledger", "restore", str(tmp_path / "copy"))
    assert refused.exit_code == 1
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_copy_of_a_later_release_is_left_alone(machine: Machine, tmp_path: Path) -> None:
    machine.type("ledger", "backup", str(tmp_path / "copy"))
    import sqlite3

    with sqlite3.connect(tmp_path / "copy") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    machine.ledger.close()
    refused = machine.type("ledger", "restore", str(tmp_path / "copy"), "--replace")
    assert "newer than this flow-pipelines" in refused.output
    assert [*tmp_path.glob("ledger.sqlite.before-*")] == []


def test_a_copy_of_an_earlier_release_is_brought_up_to_date_when_it_is_opened(
    before_0008: Before, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'restored.sqlite'}"
    monkeypatch.setenv(VARIABLE, url)
    put_back(before_0008.ledger_file, replace=False, clock=SystemClock())
    assert schema_facts(url).current == "0007"
    open_ledger(url).close()
    assert schema_facts(url).current == schema_facts(url).newest


def test_a_file_is_told_from_a_batch(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(machine.folder)
    (machine.folder / "posters").touch()
    unclear = machine.type("ledger", "restore", "posters")
    assert (unclear.exit_code, "write ./posters" in unclear.output) == (2, True)
    assert "is no ledger" in machine.type("ledger", "restore", "./posters", "--replace").output
    assert machine.type("ledger", "restore", "--replace").exit_code == 2
    assert "there is no file" in machine.type("ledger", "restore", "other/copy").output


def test_only_the_ledger_is_taken_out_of_a_database(
    shop: Machine, lose: Callable[[], None], tmp_path: Path
) -> None:
    if not os.environ[VARIABLE].startswith("postgresql"):
        pytest.skip("a file holds nothing else")
    with psycopg.connect(os.environ[VARIABLE]) as connection:
        connection.execute("CREATE TABLE event_logs (id int)")
    assert shop.type("ledger", "backup", str(tmp_path / "copy")).exit_code == 0
    lose()
    assert shop.type("ledger", "restore", str(tmp_path / "copy")).exit_code == 0
    with psycopg.connect(os.environ[VARIABLE]) as connection:
        found = connection.execute("SELECT to_regclass('event_logs')").fetchone()
    assert found == (None,)
    with open_ledger(os.environ[VARIABLE]) as ledger:
        assert_complete(ledger, shop.ledger)


def assert_complete(ledger: RunLedger, before: RunLedger) -> None:
    """Its tables, indexes and numbers are those that a migration makes."""
    from sqlalchemy import inspect

    from flow_pipelines.ledger.schema import metadata

    assert ledger.ledger_id == before.ledger_id
    looked = inspect(ledger._database.engine)
    for name, table in metadata.tables.items():
        indexes = {index["name"] for index in looked.get_indexes(name)}
        assert indexes >= {index.name for index in table.indexes}
    ledger.pause("ann", "it can be written")


@pytest.fixture
def with_password(
    postgres_url: str, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A ledger of a role that has a password."""
    name = make_url(postgres_url).database
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name}_owner LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f'GRANT ALL ON DATABASE "{name}" TO {name}_owner')
        connection.execute(f"GRANT ALL ON SCHEMA public TO {name}_owner")
        address = make_url(postgres_url).set(username=f"{name}_owner", password=PASSWORD)
        url = address.render_as_string(hide_password=False)
        monkeypatch.setenv(VARIABLE, url)
        open_ledger(url).close()
        yield url
        connection.execute(f"DROP OWNED BY {name}_owner CASCADE")
        connection.execute(f"DROP ROLE {name}_owner")


def spy(folder: Path, program: Path) -> Path:
    """Put a program before the real one that writes down what it was started with."""
    seen = folder / f"{program.name}.seen"
    script = folder / program.name
    script.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >> {seen}\n'
        f'printf "%s\\n" "$PGPASSWORD" >> {seen}.password\nexec {program} "$@"\n'
    )
    script.chmod(0o755)
    return seen


@pytest.mark.case(
    "a database's password is given to a program",
    "it goes by the environment: nobody reads it from the list of processes, or from a message",
)
def test_a_password_is_never_among_the_words_of_a_command(
    machine: Machine,
    with_password: str,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "spies"
    folder.mkdir()
    seen = spy(folder, programs / "pg_dump")
    first_on_path(folder, monkeypatch)

    done = machine.type("ledger", "backup", str(tmp_path / "copy"))

    assert done.exit_code == 0, done.output
    assert "--format=custom" in seen.read_text()
    assert PASSWORD not in seen.read_text() + done.output
    assert PASSWORD in seen.with_name("pg_dump.seen.password").read_text()


@pytest.mark.parametrize("have", ["none", "too old"])
def test_a_missing_or_old_program_is_named_with_what_to_install(
    machine: Machine,
    with_password: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    have: str,
) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    if have == "too old":
        (folder / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
        (folder / "pg_dump").chmod(0o755)
    refused = machine.type("ledger", "backup", str(tmp_path / "copy"))
    assert refused.exit_code == 1
    assert "install it, such as postgresql-client-" in refused.output
    assert ("is of 9" if have == "too old" else "there is none on PATH") in refused.output
    assert not (tmp_path / "copy").exists()
