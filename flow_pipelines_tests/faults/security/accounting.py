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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab

FACTS = {"provider": "floyo", "operation": "create_run"}
DAY = 24 * 3600


def buy(lab: Lab, *prompts: str) -> None:
    lab.plan(*prompts)
    lab.submit()


def end_runs(lab: Lab) -> None:
    lab.clock.advance(60)
    poll_due(lab.ports, owner="poller", budget_seconds=30)


def collect(lab: Lab) -> None:
    end_runs(lab)
    collect_night(lab.night, lab.ports, owner="collector")


def again(lab: Lab, requested_by: str, scope: Any) -> Callable[[], object]:
    return lambda: regenerate(
        lab.settings, lab.night, lab.ports, requested_by=requested_by, scope=scope
    )


def wanted(lab: Lab) -> list[tuple[str, int | None]]:
    """Let leases run out, then give what a sensor would ask for."""
    lab.clock.advance(LEASE_SECONDS + 600)
    found = agenda(lab.ledger, lab.clock, batches=[lab.night.batch])
    return [(todo.kind, todo.limit) for todo in found.todos]


def copy_of_ledger(lab: Lab, path: Path) -> None:
    """Make a backup while the ledger is in use, as a careful person does."""
    import sqlite3

    with sqlite3.connect(lab.folder / "ledger.db") as now, sqlite3.connect(path) as backup:
        now.backup(backup)


def restore(lab: Lab, path: Path) -> None:
    lab.ledger.close()  # type: ignore[attr-defined] - the real one
    lab.ledger = open_ledger(f"sqlite:///{path}", lab.clock)


# -- regenerations ------------------------------------------------------------------------------
