"""Addresses of ledgers: what is taken, what is refused, and what is never shown."""

from __future__ import annotations

import sys
import tomllib
import traceback
from pathlib import Path

import pytest
from setuptools import find_packages

import flow_pipelines
from flow_pipelines.ledger import open_ledger
from flow_pipelines.model.errors import ConfigurationError, LedgerError

PASSWORD = "correct-horse"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("mysql://root@host/ledger", "SQLite or PostgreSQL"),
        ("postgresql+nonsense://host/ledger", "SQLite or PostgreSQL"),
        (f"{PASSWORD}", "not a URL"),
    ],
)
def test_an_address_that_cannot_be_a_ledger_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        open_ledger(url)

    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_password_is_never_shown(scheme: str) -> None:
    with pytest.raises(LedgerError) as refused:
        open_ledger(f"{scheme}://ledger:{PASSWORD}@127.0.0.1:9/ledger", busy_seconds=0.1)

    shown = "".join(traceback.format_exception(refused.value))
    assert "127.0.0.1" in str(refused.value)
    assert PASSWORD not in shown


def test_a_missing_driver_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(ConfigurationError, match=r"flow-pipelines\[postgres\]"):
        open_ledger("postgresql://localhost/ledger")


def test_a_missing_folder_is_an_error_of_the_ledger(tmp_path) -> None:
    with pytest.raises(LedgerError, match="unable to open database file"):
        open_ledger(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path) -> None:
    file = tmp_path / "ledger.db"
    file.write_text("a shopping list, long enough to be read as a header" * 10)
    before = file.read_bytes()

    with pytest.raises(LedgerError, match="not a database"):
        open_ledger(f"sqlite:///{file}")

    assert file.read_bytes() == before


def test_a_ledger_is_shown_without_its_password(sqlite_url: str) -> None:
    with open_ledger(sqlite_url) as ledger:
        assert repr(ledger).startswith(f"RunLedger('{sqlite_url}'")


def test_sqlite_is_set_up_to_survive_a_power_cut(sqlite_url: str) -> None:
    with open_ledger(sqlite_url) as ledger, ledger._database.write() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_the_migrations_are_packaged() -> None:
    root = Path(flow_pipelines.__file__).parent.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]

    packages = find_packages(str(root), include=settings["packages"]["find"]["include"])

    assert "flow_pipelines.ledger.migrations" in packages
    assert "flow_pipelines.ledger.migrations.versions" in packages
    assert "*.mako" in settings["package-data"]["*"]
