"""Copy a ledger on PostgreSQL with `pg_dump`, and put a copy into an empty place with `pg_restore`.

Only the ledger's own tables: the database may be Dagster's, too. Owners and rights are not copied.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_pipelines.ledger.address import read_address
from flow_pipelines.ledger.closed_triggers import POSTGRES_FUNCTION
from flow_pipelines.ledger.file_copies import CopyFacts, new_file
from flow_pipelines.ledger.schema import metadata
from flow_pipelines.model.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    import psycopg

_TABLES = (*metadata.tables, "alembic_version")
_LONGEST_SECONDS = 3600.0
_SHOWN = 600
"""Characters of what a program said last."""
_SCHEMA = """SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass('ledger_meta')"""
_FACTS = """SELECT (SELECT value FROM ledger_meta WHERE name = 'ledger_id'),
    (SELECT version_num FROM alembic_version)"""
_LISTED = re.compile(r"^\d+; \d+ \d+ TABLE (\S+) ledger_meta ", re.MULTILINE)
_NEVER_SHOWN = frozenset({"password", "sslpassword"})
"""Other users of this machine see the words of a command."""


def dump(url: str, copy: Path, environment: Mapping[str, str]) -> CopyFacts:
    """Write what the ledger holds at this moment to a new file, in pg_dump's custom format.

    `environment` is for the program: where it is, and what libpq reads there.

    Raises: ConfigurationError, also where there is no pg_dump of the server's version; LedgerError.
    """
    arguments = _arguments(url)
    with _connected(arguments) as connection:
        schema = _value(connection, _SCHEMA)
        if schema is None:
            raise ConfigurationError("there is no ledger in this database")
        program = _program("pg_dump", connection, environment)
        facts = _facts(connection)
    tables = [f"--table={_quoted(schema)}.{_quoted(name)}" for name in _TABLES]
    with new_file(copy) as draft:
        _run_on(arguments, environment, program, "--format=custom", f"--file={draft}", *tables)
    return facts


def load(url: str, copy: Path, environment: Mapping[str, str]) -> CopyFacts:
    """Put a copy where no table of a ledger is: all of it, or nothing.

    Raises: ConfigurationError; LedgerError.
    """
    if not copy.is_file():
        raise ConfigurationError(f"there is no file {copy}")
    arguments = _arguments(url)
    with _connected(arguments) as connection:
        _refuse_tables(connection)
        program = _program("pg_restore", connection, environment)
        listed = _run([program, "--list", str(copy)], environment)
        _refuse_other_schema(copy, listed, _value(connection, "SELECT current_schema()"))
        # The copy's trigger names it, and pg_dump copies no functions beside tables.
        connection.execute(POSTGRES_FUNCTION)
    words = ("--single-transaction", "--exit-on-error", str(copy))
    _run_on(arguments, environment, program, *words)
    with _connected(arguments) as connection:
        return _facts(connection)


def _refuse_tables(connection: psycopg.Connection[Any]) -> None:
    for name in _TABLES:
        if _value(connection, "SELECT to_regclass(%s)::text", _quoted(name)) is not None:
            raise ConfigurationError(
                f"there is a table {name} already, and nothing was changed: a copy is put into an "
                "empty database or schema only. Make one, and let the ledger's address lead there"
            )


def _refuse_other_schema(copy: Path, content: str, schema: str | None) -> None:
    listed = _LISTED.search(content)
    if listed is None:
        raise ConfigurationError(f"{copy} is no copy of a ledger")
    if listed[1] != schema:
        raise ConfigurationError(
            f"{copy} is of a ledger in the schema {listed[1]}, and the ledger's address leads to "
            f"{schema or 'none that is there'}: make that schema, and let the address lead to it"
        )


def _arguments(url: str) -> Mapping[str, Any]:
    address = read_address(url)
    _, arguments = address.url.get_dialect()().create_connect_args(address.url)
    if address.schema:
        path = address.quoted_schema.replace("\\", "\\\\").replace(" ", "\\ ")
        arguments["options"] = f"{arguments.get('options', '')} -csearch_path={path}".lstrip()
    return arguments


@contextmanager
def _connected(arguments: Mapping[str, Any]) -> Iterator[psycopg.Connection[Any]]:
    import psycopg

    try:
        with psycopg.connect(**arguments, autocommit=True) as connection:
            yield connection
    except psycopg.Error as error:
        raise LedgerError(f"the ledger's database refused or failed: {error}") from error


def _value(connection: psycopg.Connection[Any], query: str, *values: str) -> str | None:
    row = connection.execute(query, values or None).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def _facts(connection: psycopg.Connection[Any]) -> CopyFacts:
    row = connection.execute(_FACTS).fetchone()
    if row is None or None in row:
        raise LedgerError("the ledger has no id, or no schema")
    return CopyFacts(ledger_id=row[0], revision=row[1])


def _program(name: str, connection: psycopg.Connection[Any], environment: Mapping[str, str]) -> str:
    """Return the path of a PostgreSQL program that knows this server's version."""
    server = connection.info.server_version // 10_000
    program = shutil.which(name, path=environment.get("PATH"))
    told = re.search(r"(\d+)", _run([program, "--version"], environment)) if program else None
    if program is None or told is None or int(told[1]) < server:
        here = f"the one on PATH is of {told[1]}" if told else "there is none on PATH"
        raise ConfigurationError(
            f"{name} of PostgreSQL {server} or newer is needed, and {here}: install it, such as "
            f"postgresql-client-{server} on Debian and Ubuntu"
        )
    return program


def _run_on(
    arguments: Mapping[str, Any], environment: Mapping[str, str], program: str, *words: str
) -> None:
    from psycopg.conninfo import make_conninfo

    shown = {name: value for name, value in arguments.items() if name not in _NEVER_SHOWN}
    secret = {"PGPASSWORD": str(arguments["password"])} if "password" in arguments else {}
    common = ("--no-password", "--no-owner", "--no-privileges")
    command = [program, *common, f"--dbname={make_conninfo(**shown)}", *words]
    _run(command, {**environment, **secret})


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a program, and return what it printed. Raises: LedgerError."""
    name = Path(command[0]).name
    try:
        ended = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LedgerError(f"{name} could not be run: {type(error).__name__}") from error
    if ended.returncode != 0:
        raise LedgerError(f"{name} failed: {ended.stderr.strip()[-_SHOWN:]}")
    return ended.stdout


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
