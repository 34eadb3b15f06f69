"""A desk with a fresh ledger on each database, and one that a whole module shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flow_pipelines_tests.conformance.ledger.desk import Desk
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
def desk(ledger_url: str) -> Iterator[Desk]:
    desk = Desk(ledger_url)
    yield desk
    assert desk.ledger._database.engine.pool.checkedout() == 0  # every connection was given back
    desk.ledger.close()


@pytest.fixture(scope="module")
def shared_desk(make_ledger_url: Callable[[], str]) -> Iterator[Desk]:
    """Return a ledger for tests that keep to a night of their own."""
    desk = Desk(make_ledger_url())
    yield desk
    desk.ledger.close()
