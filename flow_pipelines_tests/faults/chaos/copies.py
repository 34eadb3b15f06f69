"""An older copy of the ledger, taken and put back while nobody has it open."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

_COPY = "copy"


def take(ledger_url: str) -> None:
    """Copy the ledger as it is; a copy of before is replaced."""
    url = make_url(ledger_url)
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        with closing(sqlite3.connect(file)) as source, closing(_open(_beside(file))) as target:
            source.backup(target)
    else:
        _replace(url, f"{url.database}_{_COPY}", str(url.database))


def put_back(ledger_url: str) -> None:
    """Put the copy in the ledger's place, as a restore does."""
    url = make_url(ledger_url)
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        for left in file.parent.glob(f"{file.name}-*"):
            left.unlink()
        shutil.copyfile(_beside(file), file)
    else:
        _replace(url, str(url.database), f"{url.database}_{_COPY}")


def _beside(file: Path) -> Path:
    return file.with_name(f"{_COPY}.db")


def _open(file: Path) -> sqlite3.Connection:
    file.unlink(missing_ok=True)
    return sqlite3.connect(file)


def _replace(url: URL, name: str, template: str) -> None:
    """Make a PostgreSQL database anew from another one; whoever is in them is put out."""
    server = url.set(drivername="postgresql", database="postgres")
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as one:
        one.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [template]
        )
        one.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        one.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
