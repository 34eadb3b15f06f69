"""A driver with a fresh ledger on each database, and one that a whole module shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver
from flow_pipelines_tests.databases import (
    empty_url,
    ledger_url,
    make_ledger_url,
    postgres_server,
    postgres_url,
    sqlite_ledgers,
    sqlite_url,
)

__all__ = [
    "empty_url",
    "ledger_url",
    "make_ledger_url",
    "postgres_server",
    "postgres_url",
    "sqlite_ledgers",
    "sqlite_url",
]


@pytest.fixture
def driver(ledger_url: str) -> Iterator[LedgerDriver]:
    driver = LedgerDriver(ledger_url)
    yield driver
    assert driver.ledger._database.engine.pool.checkedout() == 0  # every connection was given back
    driver.ledger.close()


@pytest.fixture(scope="module")
def shared_driver(make_ledger_url: Callable[[], str]) -> Iterator[LedgerDriver]:
    """Return a ledger for tests that keep to a night of their own."""
    driver = LedgerDriver(make_ledger_url())
    yield driver
    driver.ledger.close()
