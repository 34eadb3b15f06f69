"""A ledger in a file that a test copies away and puts back, as a restore does."""

from __future__ import annotations

import shutil
from pathlib import Path

from flow_pipelines.ledger import open_ledger
from flow_pipelines_tests.unit.lifecycle.conftest import Lab


def back_up(lab: Lab, name: str = "backup.db") -> Path:
    """Copy the ledger as it is; what is bought afterwards is not in the copy."""
    lab.ledger.close()
    copy = lab.folder / name
    shutil.copyfile(lab.folder / "ledger.db", copy)
    return copy


def restore(lab: Lab, copy: Path) -> None:
    """Put a copy in the ledger's place."""
    lab.ledger.close()
    for leftover in lab.folder.glob("ledger.db-*"):
        leftover.unlink()
    shutil.copyfile(copy, lab.folder / "ledger.db")
    lab.ledger = open_ledger(f"sqlite:///{lab.folder / 'ledger.db'}", lab.clock)
