"""The part of the ledger's contract about code locations that share one ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class BatchLocations(Protocol):
    """A batch belongs to the first code location that works on it; see `contract.RunLedger`."""

    def claim_batch(self, batch: str, location: str) -> str:
        """Return the batch to this code location, unless it has one; give whose it is now."""

    def batch_locations(self, batches: Collection[str]) -> Mapping[str, str]:
        """Return the code location of each of these batches; absent where nobody claimed it."""

    def move_batch(self, batch: str, location: str) -> None:
        """Return the batch to this code location, whoever had it: a person's decision."""
