"""What the accounting tests share: buying, ending and collecting a night, copying its ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import (
    agenda,
    collect_night,
    poll_due,
    regenerate,
)
from flow_pipelines.lifecycle.submit import LEASE_SECONDS
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

FACTS = {"provider": "floyo", "operation": "create_run"}
DAY = 24 * 3600


def buy(harness: LifecycleHarness, *prompts: str) -> None:
    harness.plan(*prompts)
    harness.submit()


def end_runs(harness: LifecycleHarness) -> None:
    harness.clock.advance(60)
    poll_due(harness.ports, owner="poller", budget_seconds=30)


def collect(harness: LifecycleHarness) -> None:
    end_runs(harness)
    collect_night(harness.night, harness.ports, owner="collector")


def again(harness: LifecycleHarness, requested_by: str, scope: Any) -> Callable[[], object]:
    return lambda: regenerate(
        harness.settings, harness.night, harness.ports, requested_by=requested_by, scope=scope
    )


def wanted(harness: LifecycleHarness) -> list[tuple[str, int | None]]:
    """Let leases run out, then give what a sensor would ask for."""
    harness.clock.advance(LEASE_SECONDS + 600)
    found = agenda(harness.ledger, harness.clock, batches=[harness.night.batch])
    return [(todo.kind, todo.limit) for todo in found.todos]


def copy_of_ledger(harness: LifecycleHarness, path: Path) -> None:
    """Make a backup while the ledger is in use, as a careful person does."""
    import sqlite3

    with sqlite3.connect(harness.folder / "ledger.db") as now, sqlite3.connect(path) as backup:
        now.backup(backup)


def restore(harness: LifecycleHarness, path: Path) -> None:
    harness.ledger.close()  # type: ignore[attr-defined] - the real one
    harness.ledger = open_ledger(f"sqlite:///{path}", harness.clock)


# -- regenerations ------------------------------------------------------------------------------
