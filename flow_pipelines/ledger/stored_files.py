"""The part of the ledger's contract about stored files: where they are, and that they are gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from flow_pipelines.model import Night, Output, StoredFacts


class StoredFiles(Protocol):
    """See `contract.RunLedger` for what holds for every method."""

    def note_bucket(self, night: Night, found: Mapping[str, Collection[int]], bucket: str) -> None:
        """Note the bucket of stored outputs of this night that have none, by submission key and
        index. One that has a bucket keeps it. Moves no revision."""

    def record_missing(
        self, submission_key: str, missing: Mapping[int, StoredFacts], problem: str
    ) -> int:
        """Note that stored outputs are not where they were, by index, with where that was: they
        count as not stored, and their run as not collected, until they are stored again.

        One that is noted somewhere else by now is left as it is. Gives how many were noted.
        """

    def stored_with(self, sha256: str, limit: int = 20) -> Sequence[Output]:
        """Return stored outputs of any night that have this very content."""
