"""A ledger in a file that a test copies away and puts back, as a restore does."""

from __future__ import annotations

import shutil
from pathlib import Path

from flow_pipelines.ledger import open_ledger
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


def back_up(harness: LifecycleHarness, name: str = "backup.db") -> Path:
    """Copy the ledger as it is; what is bought afterwards is not in the copy."""
    harness.ledger.close()
    copy = harness.folder / name
    shutil.copyfile(harness.folder / "ledger.db", copy)
    return copy


def restore(harness: LifecycleHarness, copy: Path) -> None:
    """Put a copy in the ledger's place."""
    harness.ledger.close()
    for leftover in harness.folder.glob("ledger.db-*"):
        leftover.unlink()
    shutil.copyfile(copy, harness.folder / "ledger.db")
    harness.ledger = open_ledger(f"sqlite:///{harness.folder / 'ledger.db'}", harness.clock)
