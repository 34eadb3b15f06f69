"""The part of the ledger's contract about how far nights are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from flow_pipelines.ledger.records import Tally
from flow_pipelines.model import Night, SubmissionState


class NightSums(Protocol):
    """Nights in a few lines each, however many rows they have; see `contract.RunLedger`."""

    def counts_by_state(self, batches: Collection[str]) -> Mapping[SubmissionState, int]:
        """Return how many submissions are in each state, all generations; absent where none are."""

    def tallies(self, night: Night) -> Sequence[Tally]:
        """Sum a night up, by generation and state."""

    def tallies_of(self, wanted: Collection[Night]) -> Mapping[Night, Sequence[Tally]]:
        """Sum up each of these nights; nothing where it has no submissions."""
